#include "tests/coherence/history.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

namespace larder::tests {

namespace {

constexpr std::size_t examples_most = 3;
constexpr std::size_t replicas_most = 16;
constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

/// What readers are owed of one version.
struct Owed {
    Nanoseconds acknowledged = never;    // plainly: the answer was received
    Nanoseconds effective = never;       // as judged: later when the write is excused for a time
    Nanoseconds sticks = Nanoseconds{};  // once somebody saw it, it may not go away after this
    std::size_t write = nowhere;
};

/// From `at` on a read must show `version` or later.
struct Demand {
    Nanoseconds at{};
    std::uint32_t version = 0;
    std::size_t evidence = nowhere;
};

/// Demands in the order of time, asked with times that only rise.
class Floor {
  public:
    void add(Demand demand)
    {
        if (demand.at != never) demands_.push_back(demand);
    }
    void sort()
    {
        std::sort(demands_.begin(), demands_.end(), [](const Demand& a, const Demand& b) { return a.at < b.at; });
        next_ = 0;
        highest_ = Demand{};
    }
    /// The highest demand that is strictly older.
    const Demand& before(Nanoseconds time)
    {
        for (; next_ < demands_.size() && demands_[next_].at < time; ++next_)
            if (demands_[next_].version > highest_.version) highest_ = demands_[next_];
        return highest_;
    }
    void clear() { demands_.clear(); }

  private:
    std::vector<Demand> demands_;
    std::size_t next_ = 0;
    Demand highest_;
};

class Judge {
  public:
    Judge(History& history, const Terms& terms) : history_(history), terms_(terms) {}

    Verdict run()
    {
        std::sort(history_.reads.begin(), history_.reads.end(),
                  [](const Read& a, const Read& b) { return a.item != b.item ? a.item < b.item : a.begin < b.begin; });
        weigh_writes();
        std::size_t from = 0;
        while (from < history_.reads.size()) {
            std::size_t to = from;
            while (to < history_.reads.size() && history_.reads[to].item == history_.reads[from].item) ++to;
            judge_item(from, to);
            from = to;
        }
        return verdict_;
    }

  private:
    /// The first moment after `time` at which the replica is known to have had nothing waiting.
    Nanoseconds calm_after(Nanoseconds time, int replica) const
    {
        Nanoseconds found = never;
        for (const Calm& calm : history_.calms)
            if ((replica < 0 || calm.replica == replica) && calm.asked > time) found = std::min(found, calm.answered);
        return found;
    }

    /// The end of the fault in which the write was under way; zero when there was none.
    Nanoseconds fault_end(const Write& write) const
    {
        Nanoseconds end{};
        for (std::size_t i = 0; i < history_.faults.size(); ++i) {
            const StoreFault& fault = history_.faults[i];
            if (fault.replica >= 0 && fault.replica != write.replica) continue;
            const Nanoseconds over = over_[i][write.replica % replicas_most];
            // a mark whose write got no answer stays for its life
            const bool open_ended = write.outcome == WriteOutcome::unknown;
            const Nanoseconds until = open_ended ? write.end + terms_.mark_life : write.end;
            if (write.begin <= over && until >= fault.begin) end = std::max(end, fault.end);
        }
        return end;
    }

    void weigh_writes()
    {
        over_.resize(history_.faults.size());
        for (std::size_t i = 0; i < over_.size(); ++i)
            for (std::size_t replica = 0; replica < replicas_most; ++replica)
                over_[i][replica] = calm_after(history_.faults[i].end, static_cast<int>(replica));
        std::unordered_map<std::uint32_t, std::size_t> by_id;
        for (std::size_t i = 0; i < history_.writes.size(); ++i) {
            const Write& write = history_.writes[i];
            by_id[write.id] = i;
            switch (write.outcome) {
            case WriteOutcome::acknowledged: ++verdict_.acknowledged; break;
            case WriteOutcome::refused: ++verdict_.refused; break;
            case WriteOutcome::unknown: ++verdict_.unknown; break;
            }
            if (write.deferred) ++verdict_.deferred;
        }
        owed_.resize(history_.items);
        for (const Commit& commit : history_.commits) {
            if (commit.item >= owed_.size()) owed_.resize(commit.item + 1u);
            auto& versions = owed_[commit.item];
            if (versions.size() <= commit.version) versions.resize(commit.version + 1u);
            Owed& owed = versions[commit.version];
            const auto found = by_id.find(commit.write_id);
            if (found == by_id.end()) continue;  // it was under way when the clients stopped
            owed.write = found->second;
            weigh(owed, history_.writes[found->second]);
        }
    }

    void weigh(Owed& owed, const Write& write)
    {
        const Nanoseconds fault = terms_.excuse_unprepared ? fault_end(write) : Nanoseconds{};
        if (write.outcome == WriteOutcome::acknowledged) {
            owed.acknowledged = owed.effective = write.end;
            if (write.deferred && terms_.excuse_deferred) owed.effective = calm_after(write.end, write.replica);
            if (fault != Nanoseconds{} || (write.deferred && terms_.excuse_deferred)) owed.sticks = owed.effective;
        } else {
            ++verdict_.unknown_done;
            if (fault != Nanoseconds{}) owed.sticks = fault + terms_.mark_life + std::chrono::seconds{1};
        }
    }

    void judge_item(std::size_t from, std::size_t to)
    {
        static const std::vector<Owed> none;
        const std::uint16_t item = history_.reads[from].item;
        const std::vector<Owed>& versions = item < owed_.size() ? owed_[item] : none;
        const auto owed_of = [&](std::uint32_t version) -> Owed {
            if (version < versions.size()) return versions[version];
            return {};
        };
        Floor written, seen, strictly;  // `strictly`: what would be owed without any excuse or bound
        std::array<Floor, replicas_most> written_here;
        for (std::uint32_t version = 0; version < versions.size(); ++version) {
            const Owed& owed = versions[version];
            if (owed.effective != never) {
                written.add({owed.effective + terms_.bound, version, owed.write});
            }
            // a replica forgets its own writes at no time: neither within the bound nor while their purge waits
            if (owed.acknowledged != never)
                written_here[history_.writes[owed.write].replica % replicas_most].add(
                    {owed.acknowledged, version, owed.write});
            strictly.add({owed.acknowledged, version, owed.write});
        }
        for (std::size_t i = from; i < to; ++i) {
            const Read& read = history_.reads[i];
            const Nanoseconds sticks = owed_of(read.version).sticks;
            if (sticks != never && terms_.never_back_in_time)
                seen.add({std::max(read.end, sticks) + terms_.bound, read.version, i});
            strictly.add({read.end, read.version, i});
        }
        for (Floor* floor : {&written, &seen, &strictly}) floor->sort();
        for (Floor& floor : written_here) floor.sort();

        for (std::size_t i = from; i < to; ++i) {
            const Read& read = history_.reads[i];
            const Demand& any = written.before(read.begin);
            const Demand& here = written_here[read.replica % replicas_most].before(read.begin);
            const Demand& by_write = here.version > any.version ? here : any;
            const Demand& by_read = seen.before(read.begin);
            const bool behind = read.version < strictly.before(read.begin).version;
            if (read.version < by_write.version)
                report(Violation::Kind::stale, i, by_write, verdict_.stale);
            else if (read.version < by_read.version)
                report(Violation::Kind::back_in_time, i, by_read, verdict_.back_in_time);
            else if (behind)
                ++verdict_.excused_reads;
        }
    }

    void report(Violation::Kind kind, std::size_t read, const Demand& demand, std::size_t& count)
    {
        if (count++ < examples_most) verdict_.examples.push_back({kind, read, demand.version, demand.evidence});
    }

    History& history_;
    const Terms& terms_;
    Verdict verdict_;
    std::vector<std::vector<Owed>> owed_;                       // by item and version
    std::vector<std::array<Nanoseconds, replicas_most>> over_;  // by fault: when each replica has noticed its end
};

std::string milliseconds_text(Nanoseconds time)
{
    const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    std::string text = std::to_string(micro / 1000) + "." + std::to_string(1000 + micro % 1000).substr(1);
    return text + " ms";
}

}  // namespace

Verdict judge(History& history, const Terms& terms) { return Judge(history, terms).run(); }

std::string describe(const Violation& violation, const History& history, const Verdict&)
{
    const Read& read = history.reads[violation.read];
    const Nanoseconds zero =
        history.reads.empty()
            ? Nanoseconds{}
            : std::min_element(history.reads.begin(), history.reads.end(), [](const Read& a, const Read& b) {
                  return a.begin < b.begin;
              })->begin;
    const auto told = [&](const Read& one) {
        return "version " + std::to_string(one.version) + ", read by client " + std::to_string(one.client) +
               " through replica " + std::to_string(one.replica) + " (view " + std::to_string(one.view) + ") from " +
               milliseconds_text(one.begin - zero) + " to " + milliseconds_text(one.end - zero) +
               ", Cache-Status: " + history.cache_statuses.at(one.cache_status);
    };
    std::string text = violation.kind == Violation::Kind::stale ? "stale" : "back in time";
    text += ": item " + std::to_string(read.item) + " " + told(read) + ";\n      owed was version " +
            std::to_string(violation.owed_version) + ": ";
    const auto told_write = [&](const Write& write) {
        const char* const outcome = write.outcome == WriteOutcome::acknowledged ? "acknowledged"
                                    : write.outcome == WriteOutcome::refused    ? "refused"
                                                                                : "without an answer";
        return "write " + std::to_string(write.id) + " of client " + std::to_string(write.client) +
               " through replica " + std::to_string(write.replica) + " from " + milliseconds_text(write.begin - zero) +
               ", " + outcome + " at " + milliseconds_text(write.end - zero) + (write.deferred ? " as deferred" : "");
    };
    if (violation.kind == Violation::Kind::stale) {
        const Write& write = history.writes[violation.evidence];
        text += told_write(write) + ", " + milliseconds_text(read.begin - write.end) + " before the read began";
    } else {
        const Read& other = history.reads[violation.evidence];
        text += told(other) + ", " + milliseconds_text(read.begin - other.end) + " before the read began";
    }
    for (const Commit& commit : history.commits) {
        if (commit.item != read.item || commit.version < read.version || commit.version > violation.owed_version)
            continue;
        text += "\n      backend: version " + std::to_string(commit.version) + " committed at " +
                milliseconds_text(commit.at - zero);
        for (const Write& write : history.writes)
            if (write.id == commit.write_id) text += " by " + told_write(write);
    }
    for (const StoreFault& fault : history.faults)
        text += "\n      the store: a fault from " + milliseconds_text(fault.begin - zero) + " to " +
                milliseconds_text(fault.end - zero) +
                (fault.replica < 0 ? "" : " for replica " + std::to_string(fault.replica));
    return text;
}

}  // namespace larder::tests
