#include "proxy/coherence/replica.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/write_id.hpp"
#include "rules/pattern/pattern.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace std::chrono_literals;

namespace {

constexpr rules::Instant start{1h};

// A log as one test needs it: hands out positions and keeps the chain.
struct Chain {
    Position last = 1000;

    Record record(RecordType type, std::vector<std::string> keys, std::vector<std::string> patterns = {},
                  std::string write_id = {}, rules::Milliseconds life = 0ms)
    {
        Record record{last, last + 10, type, std::move(write_id), life, std::move(keys), std::move(patterns)};
        last += 10;
        return record;
    }
    Record purge(std::vector<std::string> keys, std::vector<std::string> patterns = {})
    {
        return record(RecordType::single, std::move(keys), std::move(patterns));
    }
};

LogSnapshot snapshot_at(Position position, Position floor = 0)
{
    LogSnapshot snapshot;
    snapshot.run_id = "run";
    snapshot.position = position;
    snapshot.floor = floor;
    return snapshot;
}

struct Fixture {
    Chain chain;
    Replica replica{4};
    Fixture() { replica.reset(snapshot_at(chain.last), start); }
    Applied apply(const Record& record, rules::Instant now = start) { return replica.apply(record, now); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "a replica takes the next record of the chain, knows those it has, and asks for a resync at a gap")
{
    const Record first = chain.purge({"a"}), lost = chain.purge({"b"}), third = chain.purge({"c"});
    CHECK(apply(first) == Applied::ok);
    CHECK(apply(first) == Applied::known);
    CHECK(apply(third) == Applied::gap);
    CHECK(replica.position() == first.position);
    CHECK(apply(lost) == Applied::ok);
    CHECK(apply(third) == Applied::ok);
    CHECK(apply(chain.record(RecordType::init, {})) == Applied::gap);
    CHECK(replica.position() == third.position);
}

TEST_CASE_FIXTURE(Fixture, "a replica that has no snapshot, or has lost its log, knows nothing")
{
    Replica fresh;
    CHECK_FALSE(fresh.ready());
    CHECK(fresh.matched_since("a", 5) == Since::unknown);
    CHECK(fresh.apply(chain.purge({"a"}), start) == Applied::gap);
    replica.lose();
    CHECK(replica.matched_since("a", UINT64_MAX) == Since::unknown);
    CHECK(replica.matched_pattern_since("a", UINT64_MAX) == Since::unknown);
    replica.reset(snapshot_at(2000, 1500), start);
    CHECK(replica.ready());
    CHECK(replica.position() == 2000);
    CHECK(replica.floor() == 1500);
    CHECK(replica.run_id() == "run");
}

TEST_CASE_FIXTURE(Fixture,
                  "a purge matches its keys and patterns for every question from before it, and for none from after")
{
    const Position before = replica.position();
    const Record record = chain.purge({"exact"}, {"list:*", "*:all", "a?c", "lit\\*eral", "esc\\*:*"});
    REQUIRE(apply(record) == Applied::ok);
    for (const char* key : {"exact", "list:", "list:1:2", "x:all", "abc", "lit*eral", "esc*:1"}) {
        CAPTURE(key);
        CHECK(replica.matched_since(key, before) == Since::matched);
        CHECK(replica.matched_since(key, record.position - 1) == Since::matched);
        CHECK(replica.matched_since(key, record.position) == Since::clean);
        CHECK(replica.matched_since(key, record.position + 1) == Since::clean);
    }
    for (const char* key : {"exac", "exactly", "list", "all", "ac", "literal", "escx:1", ""}) {
        CAPTURE(key);
        CHECK(replica.matched_since(key, before) == Since::clean);
    }
    CHECK(replica.matched_pattern_since("exact", before) == Since::clean);
    CHECK(replica.matched_pattern_since("list:1", before) == Since::matched);
}

TEST_CASE_FIXTURE(Fixture, "the pattern of a single star matches every key")
{
    const Position before = replica.position();
    REQUIRE(apply(chain.purge({}, {"*"})) == Applied::ok);
    CHECK(replica.matched_since("", before) == Since::matched);
    CHECK(replica.matched_since("anything", before) == Since::matched);
}

TEST_CASE_FIXTURE(Fixture, "a group is matched by a pattern that is its very name, and by no other")
{
    const Position before = chain.last;
    CHECK(apply(chain.purge({}, {"{group}h:sale", "*", "{group}*"})) == Applied::ok);
    CHECK(replica.matched_group_since("{group}h:sale", before) == Since::matched);
    CHECK(replica.matched_group_since("{group}h:sale", chain.last) == Since::clean);
    CHECK(replica.matched_group_since("{group}h:other", before) == Since::clean);
    CHECK(replica.patterns_count() == 3);
    replica.lose();
    CHECK(replica.matched_group_since("{group}h:other", chain.last) == Since::unknown);
}

TEST_CASE_FIXTURE(Fixture, "a pattern purged again matches by its last purge and takes no more room")
{
    for (int round = 0; round < 3; ++round) {
        const Position before = replica.position();
        REQUIRE(apply(chain.purge({}, {"a*", "*b"})) == Applied::ok);
        REQUIRE(apply(chain.purge({}, {"*z"})) == Applied::ok);
        CHECK(replica.matched_since("ax", before) == Since::matched);
        CHECK(replica.matched_since("xb", before) == Since::matched);
        CHECK(replica.matched_since("ax", replica.position()) == Since::clean);
        CHECK(replica.patterns_count() == 3);
    }
}

TEST_CASE_FIXTURE(Fixture,
                  "a question that reaches behind the exact keys still remembered is answered unknown, not clean")
{
    const Position before = replica.position();
    std::vector<Position> positions;
    for (const char* key : {"a", "b", "c", "d", "e", "f"}) {  // the replica remembers four
        const Record record = chain.purge({key});
        REQUIRE(apply(record) == Applied::ok);
        positions.push_back(record.position);
    }
    CHECK(replica.matched_since("x", before) == Since::unknown);
    CHECK(replica.matched_since("a", before) == Since::unknown);
    CHECK(replica.matched_since("x", positions[1] - 1) == Since::unknown);
    CHECK(replica.matched_since("x", positions[1]) == Since::clean);
    CHECK(replica.matched_since("f", before) == Since::matched);
    CHECK(replica.matched_pattern_since("x", before) == Since::clean);
}

TEST_CASE_FIXTURE(Fixture, "one key purged over and over does not push the others out")
{
    const Position before = replica.position();
    REQUIRE(apply(chain.purge({"other"})) == Applied::ok);
    for (int i = 0; i < 100; ++i) REQUIRE(apply(chain.purge({"hot"})) == Applied::ok);
    CHECK(replica.matched_since("x", before) == Since::clean);
    CHECK(replica.matched_since("other", before) == Since::matched);
    CHECK(replica.matched_since("hot", replica.position() - 1) == Since::matched);
}

TEST_CASE_FIXTURE(Fixture, "after a reset exact history is unknown, while patterns and the floor still answer")
{
    REQUIRE(apply(chain.purge({"a"})) == Applied::ok);
    LogSnapshot snapshot = snapshot_at(2000, 1500);
    snapshot.patterns = {{"*late", 1900}, {"p*", 1800}, {"*early", 1600}};
    replica.reset(snapshot, start);
    CHECK(replica.matched_since("x", 1999) == Since::unknown);
    CHECK(replica.matched_since("x", 2000) == Since::clean);
    CHECK(replica.matched_since("x", 1499) == Since::matched);
    CHECK(replica.matched_pattern_since("x", 1499) == Since::matched);
    CHECK(replica.matched_pattern_since("x", 1500) == Since::clean);
    CHECK(replica.matched_pattern_since("too late", 1899) == Since::matched);
    CHECK(replica.matched_pattern_since("too late", 1900) == Since::clean);
    CHECK(replica.matched_pattern_since("p1", 1799) == Since::matched);
    CHECK(replica.matched_pattern_since("too early", 1599) == Since::matched);
    CHECK(replica.matched_pattern_since("too early", 1600) == Since::clean);
}

TEST_CASE_FIXTURE(Fixture, "above 10,000 patterns the oldest tenth goes and the floor rises to the newest of them")
{
    for (bool prefixes : {true, false}) {
        CAPTURE(prefixes);
        Replica replica;
        Chain chain;
        replica.reset(snapshot_at(chain.last), start);
        std::vector<Position> positions;
        for (int i = 0; i <= 10'000; ++i) {
            const std::string number = std::to_string(i);
            const Record record = chain.purge({}, {prefixes ? "k" + number + ":*" : "*:" + number});
            REQUIRE(replica.apply(record, start) == Applied::ok);
            positions.push_back(record.position);
        }
        CHECK(replica.patterns_count() == 9000);
        CHECK(replica.floor() == positions[1000]);
        CHECK(replica.take_overflows() == 1);
        CHECK(replica.take_overflows() == 0);
        CHECK(replica.matched_since(prefixes ? "k0:x" : "x:0", positions[0] - 1) == Since::matched);
        CHECK(replica.matched_since("other", positions[1000] - 1) == Since::matched);
        CHECK(replica.matched_since("other", positions[1000]) == Since::clean);
        CHECK(replica.matched_since(prefixes ? "k1001:x" : "x:1001", positions[1000]) == Since::matched);
    }
}

TEST_CASE("what stands in a record is short, and is found by the whole of what it names")
{
    const std::string stars(60'000, '*'), x(60'000, 'x'), group = "{group}h:" + x;
    struct Row {
        const char* why;
        std::string key;
        std::vector<std::string> keys, patterns;
        std::vector<std::string> others;
    };
    const Row rows[] = {
        {"a long key stands as its digest", "item:" + x, {"item:" + x}, {}, {"item:" + x + "x", "item:"}},
        {"a long pattern is widened", "feed:" + x + ":1", {}, {"feed:" + x + ":*"}, {"feed:", "item:" + x}},
        {"between two escapes", "feed:" + stars, {}, {"feed:" + rules::escape(stars) + "*"}, {"feed:" + x}},
        {"also with a wildcard inside", "a" + x + "b" + x, {}, {"a*b" + x}, {"a" + x, "b" + x}},
        {"a long group stands as its digest", group, {}, {group}, {group + "x", "{group}h:"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        for (const RecordType type : {RecordType::single, RecordType::prepare}) {
            Chain chain;
            Replica replica;
            replica.reset(snapshot_at(chain.last), start);
            const Position before = chain.last;
            Record record = chain.record(type, row.keys, row.patterns, "w-1", 1s);
            name_as_in_log(record);
            CHECK(bytes_of(record) < 1500);
            Record again = record;
            name_as_in_log(again);
            CHECK(again.keys == record.keys);
            CHECK(again.patterns == record.patterns);
            REQUIRE(replica.apply(record, start) == Applied::ok);
            CHECK(replica.matched_since(row.key, before) == Since::matched);
            CHECK(replica.matched_since(row.key, record.position) == Since::clean);
            CHECK(replica.marked(row.key, start).has_value() == (type == RecordType::prepare));
            for (const std::string& other : row.others) {
                CHECK(replica.matched_since(other, before) == Since::clean);
                CHECK_FALSE(replica.marked(other, start));
            }
        }
    }
    Chain chain;
    Replica replica;
    replica.reset(snapshot_at(chain.last), start);
    const Position before = chain.last;
    Record record = chain.purge({}, {group});
    name_as_in_log(record);
    REQUIRE(replica.apply(record, start) == Applied::ok);
    CHECK(replica.matched_group_since(group, before) == Since::matched);
    CHECK(replica.matched_group_since(group + "x", before) == Since::clean);
}

TEST_CASE_FIXTURE(Fixture, "above 1 MiB of patterns that are kept as text the oldest go, and the floor rises")
{
    const std::string long_one(1000, 'x');
    Position first = 0;
    for (int i = 0; i < 3000; ++i) {
        const Record record = chain.purge({}, {"*" + std::to_string(i) + long_one});
        if (first == 0) first = record.position;
        REQUIRE(apply(record) == Applied::ok);
    }
    CHECK(replica.patterns_count() <= 1048);
    CHECK(replica.patterns_count() > 900);
    CHECK(replica.floor() > first);
    CHECK(replica.take_overflows() > 0);
    CHECK(replica.matched_since("0" + long_one, first - 1) == Since::matched);
}

TEST_CASE_FIXTURE(Fixture, "a prepare opens a mark on its keys and patterns, its commit closes it")
{
    CHECK_FALSE(replica.marked("a", start));
    REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {"l:*"}, "w-1", 10s)) == Applied::ok);
    REQUIRE(apply(chain.record(RecordType::prepare, {"b"}, {}, "w-2", 10s)) == Applied::ok);
    CHECK(replica.marked("a", start));
    CHECK(replica.marked("l:1", start));
    CHECK(replica.marked("b", start));
    CHECK_FALSE(replica.marked("c", start));
    REQUIRE(apply(chain.record(RecordType::commit, {"a"}, {"l:*"}, "w-1")) == Applied::ok);
    CHECK_FALSE(replica.marked("a", start));
    CHECK_FALSE(replica.marked("l:1", start));
    CHECK(replica.marked("b", start));
    CHECK(replica.open_marks() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a mark tells the rule of the write that has opened it, in every part and while it settles")
{
    using Rule = std::optional<std::string_view>;
    REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {}, "w-1/item-write", 10s)) == Applied::ok);
    REQUIRE(apply(chain.record(RecordType::prepare, {"b"}, {}, "w-1/item-write#2", 10s)) == Applied::ok);
    REQUIRE(apply(chain.record(RecordType::prepare, {}, {"l:*"}, "w-2/a.b-c_1", 10s)) == Applied::ok);
    REQUIRE(apply(chain.record(RecordType::prepare, {"old"}, {}, "w-3", 10s)) == Applied::ok);
    CHECK(replica.marked("a", start) == Rule("item-write"));
    CHECK(replica.marked("b", start) == Rule("item-write"));
    CHECK(replica.marked("l:1", start) == Rule("a.b-c_1"));
    CHECK(replica.marked("old", start) == Rule(""));
    CHECK(replica.marked("c", start) == std::nullopt);
    REQUIRE(apply(chain.record(RecordType::commit, {"b"}, {}, "w-1/item-write#2", 5s)) == Applied::ok);
    CHECK(replica.marked("a", start) == Rule("item-write"));
    CHECK(replica.marked("b", start) == Rule("item-write"));
    REQUIRE(apply(chain.record(RecordType::commit, {"a"}, {}, "w-1/item-write")) == Applied::ok);
    CHECK(replica.marked("a", start) == std::nullopt);
    CHECK(replica.marked("b", start + 5s) == std::nullopt);
}

TEST_CASE_FIXTURE(Fixture, "two writes to one key: the mark of the second still tells its rule when the first is done")
{
    using Rule = std::optional<std::string_view>;
    REQUIRE(apply(chain.record(RecordType::prepare, {}, {"*"}, "w-1/all", 10s)) == Applied::ok);
    REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {}, "w-2/one", 10s)) == Applied::ok);
    CHECK(replica.marked("a", start) == Rule("all"));
    REQUIRE(apply(chain.record(RecordType::commit, {}, {"*"}, "w-1/all")) == Applied::ok);
    CHECK(replica.marked("a", start) == Rule("one"));
}

TEST_CASE("write ids are unlike each other, and tell their rule whatever its name and part")
{
    const std::string first = next_write_id("item.write-2"), second = next_write_id("item.write-2");
    CHECK(first != second);
    CHECK(rule_of_write(first) == "item.write-2");
    CHECK(rule_of_write(write_id_of_part(first, 12)) == "item.write-2");
    CHECK(rule_of_write(next_write_id()) == "");
    CHECK(rule_of_write(write_id_of_part(next_write_id(), 2)) == "");
    CHECK(rule_of_write("") == "");
}

TEST_CASE_FIXTURE(Fixture, "a mark ends by itself when its life, counted from the receipt of its record, has passed")
{
    REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {}, "w-1", 10s), start + 5s) == Applied::ok);
    REQUIRE(apply(chain.record(RecordType::prepare, {"b"}, {}, "w-2", 20s), start + 5s) == Applied::ok);
    CHECK(replica.marked("a", start + 15s - 1ms));
    CHECK_FALSE(replica.marked("a", start + 15s));
    CHECK(replica.open_marks() == 1);
    CHECK(replica.marked("b", start + 24s));
    CHECK_FALSE(replica.marked("b", start + 25s));
    CHECK(replica.open_marks() == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "a commit with a life keeps its keys marked that much longer, whether the prepare was seen or not")
{
    for (bool prepared : {true, false}) {
        CAPTURE(prepared);
        if (prepared) REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {}, "w-1", 60s)) == Applied::ok);
        REQUIRE(apply(chain.record(RecordType::commit, {"a"}, {}, "w-1", 2s)) == Applied::ok);
        CHECK(replica.open_marks() == 1);
        CHECK(replica.marked("a", start + 2s - 1ms));
        CHECK_FALSE(replica.marked("a", start + 2s));
    }
}

TEST_CASE_FIXTURE(Fixture,
                  "a write with more purges than one record holds has all of them marked, also while it settles")
{
    for (const char* key : {"a", "b"})
        REQUIRE(apply(chain.record(RecordType::prepare, {key}, {}, "w-1", 60s)) == Applied::ok);
    CHECK(replica.marked("a", start));
    CHECK(replica.marked("b", start));
    for (const char* key : {"a", "b"})
        REQUIRE(apply(chain.record(RecordType::commit, {key}, {}, "w-1", 2s)) == Applied::ok);
    CHECK(replica.marked("a", start + 1s));
    CHECK(replica.marked("b", start + 1s));
    CHECK_FALSE(replica.marked("a", start + 2s));
}

TEST_CASE_FIXTURE(Fixture, "a write prepared again keeps one mark, to the later end")
{
    for (rules::Milliseconds life : {10s, 30s, 20s})
        REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {}, "w-1", life)) == Applied::ok);
    CHECK(replica.open_marks() == 1);
    CHECK(replica.marked("a", start + 29s));
}

TEST_CASE_FIXTURE(Fixture, "a single purge opens no mark, and a foreign life cannot overflow the clock")
{
    REQUIRE(apply(chain.purge({"a"})) == Applied::ok);
    CHECK_FALSE(replica.marked("a", start));
    REQUIRE(apply(chain.record(RecordType::prepare, {"a"}, {}, "w-1", rules::Milliseconds::max())) == Applied::ok);
    CHECK(replica.marked("a", start));
    REQUIRE(apply(chain.record(RecordType::prepare, {"b"}, {}, "w-2", rules::Milliseconds::min())) == Applied::ok);
    CHECK_FALSE(replica.marked("b", start));
}

TEST_CASE_FIXTURE(Fixture, "a reset opens the marks of the recent records that are not committed, and drops all others")
{
    REQUIRE(apply(chain.record(RecordType::prepare, {"gone"}, {}, "w-0", 60s)) == Applied::ok);
    LogSnapshot snapshot = snapshot_at(2000);
    snapshot.recent = {{1900, 1910, RecordType::prepare, "w-1", 10s, {"a"}, {}},
                       {1910, 1920, RecordType::prepare, "w-2", 10s, {"b"}, {}},
                       {1920, 1930, RecordType::commit, "w-1", 0ms, {"a"}, {}},
                       {2000, 2010, RecordType::prepare, "w-3", 10s, {"c"}, {}}};  // still to come by apply
    replica.reset(snapshot, start);
    CHECK_FALSE(replica.marked("gone", start));
    CHECK_FALSE(replica.marked("a", start));
    CHECK(replica.marked("b", start));
    CHECK_FALSE(replica.marked("c", start));
    REQUIRE(apply(snapshot.recent.back()) == Applied::ok);
    CHECK(replica.marked("c", start));
}

TEST_CASE("over random histories a replica is never cleaner than the whole log, and exact where it remembers all")
{
    std::mt19937 random{11};
    const std::vector<std::string> keys = {"a", "ab", "abc", "b", "b:1", "b:2", "c*", ""};
    const std::vector<std::string> patterns = {"a*", "ab*", "*", "*c", "b:?", "c\\**", "b:*", "*:*", "abc"};
    for (int round = 0; round < 300; ++round) {
        CAPTURE(round);
        const bool forgetful = round % 2;
        Replica replica{forgetful ? 3u : 100u};
        Chain chain;
        const Position first = chain.last;
        replica.reset(snapshot_at(first), start);
        std::vector<Record> all;
        for (int i = 0; i < 20; ++i) {
            Record record = chain.purge({});
            if (random() % 4 != 0)
                record.keys.push_back(keys[random() % keys.size()]);
            else if (random() % 3 == 0)
                record.patterns.push_back(patterns[random() % patterns.size()]);
            REQUIRE(replica.apply(record, start) == Applied::ok);
            all.push_back(record);
        }
        for (const std::string& key : keys) {
            for (Position since = first - 5; since <= chain.last + 5; since += 5) {
                bool truth = false, by_pattern = false;
                for (const Record& record : all) {
                    if (record.position <= since) continue;
                    truth |= std::find(record.keys.begin(), record.keys.end(), key) != record.keys.end();
                    for (const std::string& pattern : record.patterns) by_pattern |= rules::matches(pattern, key);
                }
                const Since said = replica.matched_since(key, since);
                if (truth || by_pattern)
                    CHECK(said != Since::clean);
                else
                    CHECK(said != Since::matched);
                if (!forgetful && since >= first) CHECK(said == (truth || by_pattern ? Since::matched : Since::clean));
                CHECK(replica.matched_pattern_since(key, since) == (by_pattern ? Since::matched : Since::clean));
            }
        }
    }
}

// ---- COHERENCE section 3, every interleaving --------------------------------------------------------------------

namespace {

// Which of the protocol's checks are made; taking one out must give a stale read, or the model sees nothing.
struct Checks {
    bool at_insert = true, at_lookup = true, at_store = true;
};

// One sidecar that reads, another that writes, a shared store and a backend. Each step is one that the program makes
// without giving way; `steps` lists them for each actor, and every order of the actors' steps is played.
class World {
  public:
    World(Checks checks, bool exact) : checks_(checks), exact_(exact)
    {
        replica_.reset(snapshot_at(chain_.last), start);
        shared_ = Cached{0, chain_.last};
    }

    using Step = void (World::*)();
    static const std::vector<std::vector<Step>>& actors()
    {
        static const std::vector<std::vector<Step>> all = {
            {&World::fill_starts, &World::backend_answers, &World::fill_ends},
            {&World::read_is_sent, &World::read_is_inserted},
            {&World::prepare, &World::backend_commits, &World::commit_and_acknowledge},
            {&World::lookup, &World::lookup}};
        return all;
    }
    bool went_stale() const noexcept { return stale_; }

  private:
    struct Cached {
        int value;
        Position number;
    };

    void synchronise()
    {
        for (const Record& record : log_)
            if (record.position > replica_.position()) replica_.apply(record, start);
    }
    void purge(RecordType type, rules::Milliseconds life)
    {
        log_.push_back(exact_ ? chain_.record(type, {"k"}, {}, "w-1", life)
                              : chain_.record(type, {}, {"*"}, "w-1", life));
        if (exact_) shared_.reset();  // the script unlinks the entry itself
    }
    void serve(int value, int acknowledged_at_start) { stale_ |= value < acknowledged_at_start; }

    void fill_starts()
    {
        synchronise();
        fill_passes_ = replica_.marked("k", start).has_value();
        fill_token_ = replica_.position();
    }
    void backend_answers() { fill_value_ = backend_; }
    void fill_ends()
    {
        if (fill_passes_) return;
        if (checks_.at_insert && replica_.matched_since("k", fill_token_) != Since::clean) return;
        // The store's script holds the log against it from the replica's position on.
        Position number = replica_.position();
        for (const Record& record : log_)
            if (checks_.at_store && record.position > number) return;
        number = chain_.last;
        shared_ = memory_ = Cached{fill_value_, number};
    }

    void read_is_sent()
    {
        synchronise();
        if (!shared_ || replica_.marked("k", start)) return;
        if (replica_.matched_pattern_since("k", shared_->number) != Since::clean) return;
        read_ = shared_;
        read_token_ = replica_.position();
        serve(read_->value, acknowledged_);
    }
    void read_is_inserted()
    {
        if (!read_) return;
        if (checks_.at_insert && replica_.matched_since("k", read_token_) != Since::clean) return;
        memory_ = Cached{read_->value, read_token_};
        if (!checks_.at_insert) memory_->number = replica_.position();  // the first prototype's fault
    }

    void prepare() { purge(RecordType::prepare, 60s); }
    void backend_commits() { backend_ = 1; }
    void commit_and_acknowledge()
    {
        purge(RecordType::commit, 0ms);
        acknowledged_ = 1;
    }

    void lookup()
    {
        synchronise();
        if (!memory_ || replica_.marked("k", start)) return;
        if (checks_.at_lookup && replica_.matched_since("k", memory_->number) != Since::clean) return;
        serve(memory_->value, acknowledged_);
    }

    Checks checks_;
    bool exact_;
    Chain chain_;
    Replica replica_;
    std::vector<Record> log_;
    std::optional<Cached> memory_, shared_, read_;
    Position fill_token_ = 0, read_token_ = 0;
    bool fill_passes_ = false, stale_ = false;
    int backend_ = 0, acknowledged_ = 0, fill_value_ = 0;
};

struct Played {
    int orders = 0, stale = 0;
};

Played play_all_orders(Checks checks, bool exact)
{
    Played played;
    const auto& actors = World::actors();
    std::vector<std::size_t> order;
    for (std::size_t actor = 0; actor < actors.size(); ++actor) order.insert(order.end(), actors[actor].size(), actor);
    do {
        World world{checks, exact};
        std::vector<std::size_t> next(actors.size(), 0);
        for (std::size_t actor : order) (world.*actors[actor][next[actor]++])();
        ++played.orders;
        played.stale += world.went_stale();
    } while (std::next_permutation(order.begin(), order.end()));
    return played;
}

}  // namespace

TEST_CASE("in no order of fill, read, write and lookups is an acknowledged write followed by an older value")
{
    for (bool exact : {true, false}) {
        CAPTURE(exact);
        const Played played = play_all_orders({}, exact);
        CHECK(played.orders == 25'200);  // 10! / (3! 2! 3! 2!)
        CHECK(played.stale == 0);
    }
}

TEST_CASE("each check that is left out lets an older value through in some order")
{
    struct Row {
        const char* why;
        Checks checks;
        bool exact;
    };
    const Row rows[] = {
        {"a read or fill overtaken by an exact purge enters memory", {false, true, true}, true},
        {"and one overtaken by a pattern purge", {false, true, true}, false},
        {"memory is believed without asking the log", {true, false, true}, true},
        {"memory is believed without asking the log, patterns", {true, false, true}, false},
        {"the store takes a fill without asking the log", {true, true, false}, true},
        {"the store takes a fill without asking the log, patterns", {true, true, false}, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(play_all_orders(row.checks, row.exact).stale > 0);
    }
}
