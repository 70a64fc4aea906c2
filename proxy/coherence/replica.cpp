#include "proxy/coherence/replica.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <list>
#include <optional>

#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/write_id.hpp"
#include "proxy/redis/keyspace.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::proxy {
namespace {

// The cap of the long memory, as in the log itself (COHERENCE section 2). Above it the oldest tenth goes.
constexpr std::size_t patterns_limit = 10'000;
// The same for the text of those patterns that must be kept as text. There is a replica for each worker and shard.
constexpr std::size_t globs_limit_bytes = std::size_t{1} << 20;
// No write takes longer; a larger life in a record is a foreign writer's.
constexpr rules::Milliseconds longest_life = std::chrono::hours{24};

std::uint64_t hash_of(std::string_view text) noexcept { return XXH3_64bits(text.data(), text.size()); }

struct TextHash {
    std::size_t operator()(std::string_view text) const noexcept { return hash_of(text); }
};
struct HashItself {
    std::size_t operator()(std::uint64_t hash) const noexcept { return hash; }
};

// The text before the `*` of a pattern that has its only wildcard at the end; empty optional for other patterns.
std::optional<std::string> literal_prefix(std::string_view pattern)
{
    std::string prefix;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '?') return std::nullopt;
        if (pattern[i] == '*') {
            if (i + 1 != pattern.size()) return std::nullopt;
            return prefix;
        }
        if (pattern[i] == '\\' && ++i == pattern.size()) return std::nullopt;
        prefix += pattern[i];
    }
    return std::nullopt;
}

// Last position of each exact key purged, for the last `limit` keys.
class ExactKeys {
  public:
    explicit ExactKeys(std::size_t limit) : limit_(std::max<std::size_t>(limit, 1)) {}

    void clear(Position horizon)
    {
        last_.clear();
        order_.clear();
        horizon_ = horizon;
    }
    void note(std::string_view key, Position position)
    {
        const std::uint64_t hash = hash_of(key);
        const auto [place, is_new] = last_.try_emplace(hash, position);
        if (!is_new) {
            place->second = position;  // its place in the order is put right when it comes to the front
            return;
        }
        order_.push_back({hash, position});
        while (last_.size() > limit_) forget_one();
    }
    Position last(std::string_view key) const noexcept
    {
        const auto found = last_.find(hash_of(BriefKey(key).text()));
        return found == last_.end() ? 0 : found->second;
    }
    /// Purges up to here may have been forgotten.
    Position horizon() const noexcept { return horizon_; }

  private:
    void forget_one()
    {
        const Noted oldest = order_.front();
        order_.pop_front();
        const auto place = last_.find(oldest.hash);
        if (place->second != oldest.position) {  // purged again since: young, in truth
            order_.push_back({oldest.hash, place->second});
            return;
        }
        horizon_ = std::max(horizon_, oldest.position);
        last_.erase(place);
    }

    struct Noted {
        std::uint64_t hash;
        Position position;
    };
    std::size_t limit_;
    Position horizon_ = 0;
    std::unordered_map<std::uint64_t, Position, HashItself> last_;
    std::deque<Noted> order_;  // one for each key in `last_`
};

// Last position of each pattern purged. Those without a wildcard, and those with one `*` at the end, are remembered by
// hash, whatever their length: two that share one are both voided by either, which is safe.
class Patterns {
  public:
    /// Of the text that is kept.
    std::size_t bytes() const noexcept { return globs_bytes_; }
    std::size_t count() const noexcept { return literals_.size() + prefixes_.size() + globs_.size(); }

    void clear()
    {
        literals_.clear();
        prefixes_.clear();
        lengths_.clear();
        glob_places_.clear();
        globs_.clear();
        globs_bytes_ = 0;
    }

    void note(const std::string& pattern, Position position)
    {
        if (rules::is_exact(pattern)) {
            Position& newest = literals_[hash_of(rules::unescape(pattern))];
            newest = std::max(newest, position);
            return;
        }
        if (const std::optional<std::string> prefix = literal_prefix(pattern)) {
            Length& length = length_in_use(prefix->size());
            length.newest = std::max(length.newest, position);
            const auto [place, is_new] = prefixes_.try_emplace(Prefix{hash_of(*prefix), prefix->size()}, position);
            if (is_new)
                ++length.count;
            else
                place->second = std::max(place->second, position);
            return;
        }
        const auto known = glob_places_.find(pattern);
        if (known != glob_places_.end()) {
            const auto node = known->second;
            if (node->position >= position) return;
            node->position = position;
            globs_.splice(place_for(position), globs_, node);
            return;
        }
        const auto node = globs_.insert(place_for(position), Glob{pattern, position});
        glob_places_.emplace(node->pattern, node);
        globs_bytes_ += node->pattern.size();
    }

    /// Only patterns that are this very text.
    bool match_literally_since(std::string_view text, Position since) const noexcept
    {
        const auto found = literals_.find(hash_of(BriefKey(text).text()));
        return found != literals_.end() && found->second > since;
    }

    bool match_since(std::string_view key, Position since) const noexcept
    {
        if (!literals_.empty() && match_literally_since(key, since)) return true;
        for (const Length& length : lengths_) {
            if (length.bytes > key.size()) break;
            if (length.newest <= since) continue;
            const auto found = prefixes_.find(Prefix{hash_of(key.substr(0, length.bytes)), length.bytes});
            if (found != prefixes_.end() && found->second > since) return true;
        }
        for (const Glob& glob : globs_) {
            if (glob.position <= since) break;
            if (rules::matches(glob.pattern, key)) return true;
        }
        return false;
    }

    /// Forgets the oldest tenth and returns the position up to which nothing is known any more.
    Position forget_tenth()
    {
        std::vector<Position> positions;
        positions.reserve(count());
        for (const auto& [text, position] : literals_) positions.push_back(position);
        for (const auto& [prefix, position] : prefixes_) positions.push_back(position);
        for (const Glob& glob : globs_) positions.push_back(glob.position);
        const auto last = positions.begin() + static_cast<std::ptrdiff_t>((positions.size() - 1) / 10);
        std::nth_element(positions.begin(), last, positions.end());
        forget_until(*last);
        return *last;
    }

  private:
    // The length belongs to it: with that of another prefix it would not be looked for.
    struct Prefix {
        std::uint64_t hash;
        std::size_t bytes;
        bool operator==(const Prefix&) const = default;
    };
    struct PrefixHash {
        std::size_t operator()(const Prefix& prefix) const noexcept { return prefix.hash; }
    };
    struct Glob {
        std::string pattern;
        Position position;
    };
    struct Length {
        std::size_t bytes;
        std::size_t count;
        Position newest;
    };
    using Globs = std::list<Glob>;

    Length& length_in_use(std::size_t bytes)
    {
        const auto place =
            std::lower_bound(lengths_.begin(), lengths_.end(), bytes,
                             [](const Length& length, std::size_t wanted) { return length.bytes < wanted; });
        if (place != lengths_.end() && place->bytes == bytes) return *place;
        return *lengths_.insert(place, Length{bytes, 0, 0});
    }

    // The front, nearly always: records come in rising order; only a snapshot's do not.
    Globs::iterator place_for(Position position)
    {
        auto place = globs_.begin();
        while (place != globs_.end() && place->position > position) ++place;
        return place;
    }

    void forget_until(Position last)
    {
        std::erase_if(literals_, [last](const auto& literal) { return literal.second <= last; });
        for (auto place = prefixes_.begin(); place != prefixes_.end();) {
            if (place->second > last) {
                ++place;
                continue;
            }
            --length_in_use(place->first.bytes).count;
            place = prefixes_.erase(place);
        }
        std::erase_if(lengths_, [](const Length& length) { return length.count == 0; });
        while (!globs_.empty() && globs_.back().position <= last) {
            glob_places_.erase(globs_.back().pattern);
            globs_bytes_ -= globs_.back().pattern.size();
            globs_.pop_back();
        }
    }

    std::unordered_map<std::uint64_t, Position, HashItself> literals_;  // without a wildcard: groups
    std::unordered_map<Prefix, Position, PrefixHash> prefixes_;
    std::size_t globs_bytes_ = 0;
    std::vector<Length> lengths_;                                                  // rising
    Globs globs_;                                                                  // by falling position
    std::unordered_map<std::string_view, Globs::iterator, TextHash> glob_places_;  // views into `globs_`
};

// Open marks: keys that a write is about to change, or has just changed.
class Marks {
  public:
    std::size_t count() const noexcept { return marks_.size(); }
    void clear() { marks_.clear(); }

    /// @param end       a mark that is told of twice stays until the later end
    /// @param settling  opened by a commit: closed by time alone, not by the write's next commit (a write that purges
    ///                  more than one record can hold has several)
    void open(const Record& record, rules::Instant end, bool settling)
    {
        if (record.keys.empty() && record.patterns.empty()) return;
        for (Mark& mark : marks_) {
            if (mark.settling != settling || mark.write_id != record.write_id || mark.keys != record.keys ||
                mark.patterns != record.patterns)
                continue;
            mark.end = std::max(mark.end, end);
            return;
        }
        earliest_end_ = marks_.empty() ? end : std::min(earliest_end_, end);
        marks_.push_back({record.write_id, record.keys, record.patterns, end, settling});
    }
    void close(std::string_view write_id)
    {
        std::erase_if(marks_, [&](const Mark& mark) { return !mark.settling && mark.write_id == write_id; });
    }
    /// The rule of the first one that matches.
    std::optional<std::string_view> match(std::string_view key, rules::Instant now) noexcept
    {
        if (marks_.empty()) return std::nullopt;
        if (now >= earliest_end_) remove_expired(now);
        const BriefKey brief(key);
        const auto matches = [&](const std::string& pattern) {
            return rules::matches(pattern, key) || (brief.is_digest() && pattern == brief.text());
        };
        for (const Mark& mark : marks_) {
            if (std::find(mark.keys.begin(), mark.keys.end(), brief.text()) != mark.keys.end() ||
                std::any_of(mark.patterns.begin(), mark.patterns.end(), matches))
                return rule_of_write(mark.write_id);
        }
        return std::nullopt;
    }
    void remove_expired(rules::Instant now) noexcept
    {
        std::erase_if(marks_, [&](const Mark& mark) { return mark.end <= now; });
        earliest_end_ = rules::Instant::max();
        for (const Mark& mark : marks_) earliest_end_ = std::min(earliest_end_, mark.end);
    }

  private:
    struct Mark {
        std::string write_id;
        std::vector<std::string> keys;
        std::vector<std::string> patterns;
        rules::Instant end;
        bool settling;
    };
    std::vector<Mark> marks_;
    rules::Instant earliest_end_{};  // at or before every end
};

rules::Instant end_of(const Record& record, rules::Instant now)
{
    return now + std::clamp(record.life, rules::Milliseconds{0}, longest_life);
}

}  // namespace

struct Replica::State {
    explicit State(std::size_t exact_limit) : exact(exact_limit) {}

    ExactKeys exact;
    Patterns patterns;
    Marks marks;

    void mark(const Record& record, rules::Instant now)
    {
        marks.remove_expired(now);
        if (record.type == RecordType::prepare) marks.open(record, end_of(record, now), false);
        if (record.type != RecordType::commit) return;
        marks.close(record.write_id);
        if (record.life.count() > 0) marks.open(record, end_of(record, now), true);
    }
};

Replica::Replica(std::size_t exact_limit) : state_(std::make_unique<State>(exact_limit)) {}
Replica::~Replica() = default;

void Replica::reset(const LogSnapshot& snapshot, rules::Instant now)
{
    run_id_ = snapshot.run_id;
    position_ = snapshot.position;
    floor_ = snapshot.floor;
    state_->exact.clear(snapshot.position);
    state_->patterns.clear();
    // Oldest first, so that each finds its place at the front.
    std::vector<const std::pair<std::string, Position>*> patterns;
    patterns.reserve(snapshot.patterns.size());
    for (const auto& pattern : snapshot.patterns) patterns.push_back(&pattern);
    std::sort(patterns.begin(), patterns.end(), [](const auto* a, const auto* b) { return a->second < b->second; });
    for (const auto* pattern : patterns) state_->patterns.note(pattern->first, pattern->second);
    keep_to_limit();

    state_->marks.clear();
    for (const Record& record : snapshot.recent)
        if (record.position <= position_) state_->mark(record, now);  // later ones come by `apply`
    ready_ = true;
}

void Replica::keep_to_limit()
{
    for (; state_->patterns.count() > patterns_limit || state_->patterns.bytes() > globs_limit_bytes; ++overflows_)
        floor_ = std::max(floor_, state_->patterns.forget_tenth());
}

Applied Replica::apply(const Record& record, rules::Instant now)
{
    if (!ready_) return Applied::gap;
    if (record.position <= position_) return Applied::known;
    const bool follows = record.previous == position_ && record.type != RecordType::init;
    if (!follows && guarded(Guard::chain)) return Applied::gap;
    for (const std::string& key : record.keys) state_->exact.note(key, record.position);
    for (const std::string& pattern : record.patterns) state_->patterns.note(pattern, record.position);
    keep_to_limit();
    state_->mark(record, now);
    position_ = record.position;
    return Applied::ok;
}

Since Replica::matched_since(std::string_view key, Position since) const noexcept
{
    const Since by_pattern = matched_pattern_since(key, since);
    if (by_pattern != Since::clean || since >= position_) return by_pattern;
    if (state_->exact.last(key) > since) return Since::matched;
    return since < state_->exact.horizon() ? Since::unknown : Since::clean;
}

bool Replica::remembers_purge(std::string_view key) const noexcept
{
    return ready_ && (state_->exact.last(key) != 0 || state_->patterns.match_since(key, 0));
}

Since Replica::matched_pattern_since(std::string_view key, Position since) const noexcept
{
    if (!ready_) return Since::unknown;
    if (since < floor_) return Since::matched;
    if (since >= position_) return Since::clean;
    return state_->patterns.match_since(key, since) ? Since::matched : Since::clean;
}

Since Replica::matched_group_since(std::string_view group, Position since) const noexcept
{
    if (!ready_) return Since::unknown;
    if (since < floor_) return Since::matched;
    if (since >= position_) return Since::clean;
    return state_->patterns.match_literally_since(group, since) ? Since::matched : Since::clean;
}

std::optional<std::string_view> Replica::marked(std::string_view key, rules::Instant now) noexcept
{
    return state_->marks.match(key, now);
}
std::size_t Replica::open_marks() const noexcept { return state_->marks.count(); }
std::size_t Replica::patterns_count() const noexcept { return state_->patterns.count(); }

}  // namespace larder::proxy
