// The checker's judgement on histories written by hand: each kind of violation is found, what is lawful is not flagged.
#include "tests/coherence/history.hpp"

#include <doctest/doctest.h>

namespace larder::tests {

namespace {

using namespace std::chrono_literals;

/// One item, told in milliseconds.
struct Story {
    History history;

    Story()
    {
        history.items = 1;
        history.cache_statuses.emplace_back("larder; hit; ttl=");
    }
    Story& read(Nanoseconds begin, Nanoseconds end, std::uint32_t version, std::uint8_t replica = 0)
    {
        Read read;
        read.begin = begin;
        read.end = end;
        read.version = version;
        read.replica = replica;
        history.reads.push_back(read);
        return *this;
    }
    /// A write that has made this version.
    Story& write(Nanoseconds begin, Nanoseconds end, std::uint32_t version,
                 WriteOutcome outcome = WriteOutcome::acknowledged, std::uint8_t replica = 0, bool deferred = false)
    {
        Write write;
        write.begin = begin;
        write.end = end;
        write.id = version;
        write.outcome = outcome;
        write.replica = replica;
        write.deferred = deferred;
        history.writes.push_back(write);
        if (version != 0) history.commits.push_back({begin, version, version, 0});
        return *this;
    }
    Story& fault(Nanoseconds begin, Nanoseconds end, int replica = -1)
    {
        history.faults.push_back({begin, end, replica});
        return *this;
    }
    Story& calm(Nanoseconds asked, std::uint8_t replica = 0)
    {
        history.calms.push_back({asked, asked + 1ms, replica});
        return *this;
    }
    Verdict verdict(const Terms& terms = {}) { return judge(history, terms); }
};

Terms bounded(Nanoseconds bound)
{
    Terms terms;
    terms.bound = bound;
    return terms;
}

Terms forward()
{
    Terms terms;
    terms.excuse_deferred = true;
    terms.excuse_unprepared = true;
    return terms;
}

}  // namespace

TEST_CASE("a read begun after a write was acknowledged that shows an older version is stale")
{
    const Verdict verdict = Story().write(10ms, 20ms, 2).read(21ms, 22ms, 1).verdict();
    CHECK(verdict.stale == 1);
    CHECK(verdict.back_in_time == 0);
    REQUIRE(verdict.examples.size() == 1);
    CHECK(verdict.examples[0].owed_version == 2);
}

TEST_CASE("a read begun before the acknowledgement may show either version, however long it takes")
{
    CHECK(Story().write(10ms, 20ms, 2).read(19ms, 90ms, 1).verdict().lawful());
    CHECK(Story().write(10ms, 20ms, 2).read(19ms, 90ms, 2).verdict().lawful());
    CHECK(Story().write(10ms, 20ms, 2).read(20ms, 21ms, 1).verdict().lawful());
}

TEST_CASE("of several acknowledged writes the newest version is owed, in whatever order they were acknowledged")
{
    CHECK(Story().write(1ms, 30ms, 2).write(5ms, 10ms, 3).read(31ms, 32ms, 2).verdict().stale == 1);
    CHECK(Story().write(1ms, 30ms, 2).write(5ms, 10ms, 3).read(31ms, 32ms, 3).verdict().lawful());
    CHECK(Story().write(1ms, 30ms, 3).write(5ms, 10ms, 2).read(11ms, 12ms, 2).verdict().lawful());
}

TEST_CASE("a read that began after another had ended and shows an older version went back in time")
{
    Story story;
    story.write(10ms, 50ms, 2).read(20ms, 25ms, 2).read(26ms, 30ms, 1, 1);
    const Verdict verdict = story.verdict();
    CHECK(verdict.stale == 0);
    CHECK(verdict.back_in_time == 1);
    REQUIRE(verdict.examples.size() == 1);
    CHECK(describe(verdict.examples[0], story.history, verdict).find("through replica 1") != std::string::npos);
}

TEST_CASE("two reads that overlap may see the versions in either order")
{
    CHECK(Story().write(10ms, 50ms, 2).read(20ms, 27ms, 2).read(26ms, 30ms, 1).verdict().lawful());
}

TEST_CASE("items have nothing to do with each other")
{
    Story story;
    story.history.items = 2;
    story.write(10ms, 20ms, 2).read(21ms, 22ms, 1);
    story.history.reads[0].item = 1;
    CHECK(story.verdict().lawful());
}

TEST_CASE("a write of unknown outcome is owed to nobody until somebody has seen it")
{
    const auto unknown = WriteOutcome::unknown;
    CHECK(Story().write(10ms, 20ms, 2, unknown).read(30ms, 31ms, 1).read(90ms, 91ms, 2).verdict().lawful());
    const Verdict verdict = Story().write(10ms, 20ms, 2, unknown).read(30ms, 31ms, 2).read(32ms, 33ms, 1).verdict();
    CHECK(verdict.stale == 0);
    CHECK(verdict.back_in_time == 1);
    CHECK(verdict.unknown == 1);
    CHECK(verdict.unknown_done == 1);
}

TEST_CASE("a version whose write the clients never finished counts once it was seen")
{
    Story story;
    story.history.commits.push_back({10ms, 2, 77, 0});
    story.read(11ms, 12ms, 2).read(13ms, 14ms, 1);
    CHECK(story.verdict().back_in_time == 1);
}

TEST_CASE("an acknowledged write makes up for an earlier one of unknown outcome")
{
    Story story;
    story.write(1ms, 2ms, 2, WriteOutcome::unknown).write(5ms, 9ms, 3).read(10ms, 11ms, 2);
    CHECK(story.verdict().stale == 1);
}

TEST_CASE("bounded: a read through another replica may be behind for as long as the bound")
{
    const auto story = [](Nanoseconds begin, std::uint8_t replica) {
        return Story().write(10ms, 20ms, 2).read(begin, begin + 1ms, 1, replica);
    };
    CHECK(story(310ms, 1).verdict(bounded(300ms)).lawful());
    CHECK(story(310ms, 1).verdict(bounded(300ms)).excused_reads == 1);
    CHECK(story(321ms, 1).verdict(bounded(300ms)).stale == 1);
}

TEST_CASE("bounded: the replica that took the write forgets it at no time")
{
    CHECK(Story().write(10ms, 20ms, 2).read(21ms, 22ms, 1, 0).verdict(bounded(300ms)).stale == 1);
}

TEST_CASE("bounded: reads may go back in time within the bound only")
{
    CHECK(Story().write(1ms, 900ms, 2).read(5ms, 6ms, 2).read(300ms, 301ms, 1, 1).verdict(bounded(300ms)).lawful());
    CHECK(
        Story().write(1ms, 900ms, 2).read(5ms, 6ms, 2).read(307ms, 308ms, 1, 1).verdict(bounded(300ms)).back_in_time ==
        1);
}

TEST_CASE("forward: a deferred write is excused until its own replica has said that nothing is waiting")
{
    const auto story = [](Nanoseconds begin) {
        return Story()
            .fault(5ms, 100ms, 0)
            .write(10ms, 20ms, 2, WriteOutcome::acknowledged, 0, true)
            .calm(15ms, 0)  // before the acknowledgement: says nothing of it
            .calm(50ms, 1)  // another replica
            .calm(150ms, 0)
            .read(begin, begin + 1ms, 1, 1);
    };
    CHECK(story(140ms).verdict(forward()).lawful());
    CHECK(story(140ms).verdict(forward()).excused_reads == 1);
    CHECK(story(140ms).verdict(forward()).deferred == 1);
    CHECK(story(152ms).verdict(forward()).stale == 1);
}

TEST_CASE("forward: the replica that has deferred a purge is not excused itself")
{
    Story story;
    story.fault(5ms, 100ms, 0).write(10ms, 20ms, 2, WriteOutcome::acknowledged, 0, true).calm(150ms, 0);
    CHECK(story.read(30ms, 31ms, 1, 0).verdict(forward()).stale == 1);
}

TEST_CASE("forward: a write without an answer is excused for the life of its mark after a fault, and no longer")
{
    const auto story = [](Nanoseconds begin) {
        return Story()
            .write(10ms, 20ms, 2, WriteOutcome::unknown)
            .fault(30ms, 31ms)
            .fault(20s, 21s)  // long after its mark has ended
            .read(32ms, 33ms, 2)
            .read(begin, begin + 1ms, 1, 1);
    };
    CHECK(story(100ms).verdict(forward()).lawful());
    CHECK(story(19s).verdict(forward()).back_in_time == 1);
}

TEST_CASE("fence after: versions may come and go before the acknowledgement, and not after it")
{
    Terms terms;
    terms.never_back_in_time = false;
    CHECK(Story().write(10ms, 50ms, 2).read(20ms, 25ms, 2).read(26ms, 30ms, 1).verdict(terms).lawful());
    CHECK(Story().write(10ms, 50ms, 2).read(51ms, 52ms, 1).verdict(terms).stale == 1);
}

TEST_CASE("reject: nothing is excused")
{
    Story story;
    story.fault(5ms, 100ms, 0).write(10ms, 20ms, 2, WriteOutcome::acknowledged, 0, true).read(30ms, 31ms, 1, 1);
    CHECK(story.verdict().stale == 1);
}

TEST_CASE("forward: a deferred write does not excuse what another write owes")
{
    Story story;
    story.write(1ms, 2ms, 2).write(10ms, 20ms, 3, WriteOutcome::acknowledged, 0, true).calm(150ms, 0);
    story.read(30ms, 31ms, 1, 1);
    const Verdict verdict = story.verdict(forward());
    CHECK(verdict.stale == 1);
    CHECK(verdict.examples.at(0).owed_version == 2);
}

TEST_CASE("forward: a write under way in a fault protects readers from its acknowledgement on")
{
    const auto story = [](Nanoseconds write_begin) {
        return Story()
            .fault(20ms, 30ms)
            .calm(35ms)
            .write(write_begin, 60ms, 2)
            .read(write_begin + 1ms, write_begin + 2ms, 2)
            .read(write_begin + 3ms, write_begin + 4ms, 1, 1);
    };
    CHECK(story(25ms).verdict(forward()).lawful());
    CHECK(story(40ms).verdict(forward()).back_in_time == 1);
    Story late = story(25ms);
    CHECK(late.read(61ms, 62ms, 1, 1).verdict(forward()).stale == 1);
}

TEST_CASE(
    "bounded, forward: from the acknowledgement of a write under way in a fault on, others have the bound to see it")
{
    Terms terms = forward();
    terms.bound = 300ms;
    const auto story = [](Nanoseconds begin) {
        return Story()
            .fault(20ms, 30ms)
            .calm(35ms)
            .write(25ms, 400ms, 2)
            .read(40ms, 41ms, 2)  // through the replica that writes, or past its cache: the log has nothing yet
            .read(begin, begin + 1ms, 1, 1);
    };
    CHECK(story(350ms).verdict(terms).lawful());
    CHECK(story(690ms).verdict(terms).lawful());
    CHECK(story(701ms).verdict(terms).stale == 1);
}

TEST_CASE("a fault of one replica excuses no other")
{
    Story story;
    story.fault(20ms, 30ms, 2).calm(35ms, 0).write(25ms, 60ms, 2).read(26ms, 27ms, 2).read(28ms, 29ms, 1, 1);
    CHECK(story.verdict(forward()).back_in_time == 1);
}

TEST_CASE("of many violations each is counted and the first few are kept")
{
    Story story;
    story.write(10ms, 20ms, 2);
    for (int i = 0; i < 100; ++i) story.read(21ms + i * 1ms, 22ms + i * 1ms, 1);
    const Verdict verdict = story.verdict();
    CHECK(verdict.stale == 100);
    CHECK(verdict.examples.size() == 3);
    CHECK(describe(verdict.examples[0], story.history, verdict).find("owed was version 2") != std::string::npos);
}

}  // namespace larder::tests
