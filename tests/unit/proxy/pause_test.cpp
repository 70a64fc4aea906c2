// What ends a pause: its time, or whoever may end it.
#include "proxy/net/pause.hpp"

#include <doctest/doctest.h>

#include "proxy/net/tasks.hpp"

using namespace larder;
using namespace larder::proxy;

namespace {

constexpr rules::Milliseconds for_ever{3'600'000};

struct Waiting {
    asio::io_context context{1};
    Tasks tasks{context};
    DeadlineWheel wheel{context};
    Pause pause{context, wheel};
    int ended_count = 0;

    void begin(rules::Milliseconds time) { tasks.spawn("pause", run(time)); }
    asio::awaitable<void> run(rules::Milliseconds time)
    {
        co_await pause.wait(time);
        ++ended_count;
        wheel.stop();
    }
    void run_what_is_ready()
    {
        context.poll();
        context.restart();
    }
};

}  // namespace

TEST_CASE("a pause that nobody ends is over when its time is")
{
    Waiting waiting;
    waiting.begin(rules::Milliseconds{1});
    waiting.context.run();
    CHECK(waiting.ended_count == 1);
}

TEST_CASE("a pause ends when somebody ends it, however long it would have been")
{
    Waiting waiting;
    waiting.begin(for_ever);
    waiting.run_what_is_ready();
    CHECK(waiting.ended_count == 0);
    waiting.pause.end();
    waiting.pause.end();
    waiting.run_what_is_ready();
    CHECK(waiting.ended_count == 1);
}

TEST_CASE("an end that comes between two pauses ends neither, and a pause may follow one that was ended")
{
    Waiting waiting;
    waiting.pause.end();
    waiting.begin(for_ever);
    waiting.run_what_is_ready();
    CHECK(waiting.ended_count == 0);
    waiting.pause.end();
    waiting.run_what_is_ready();
    CHECK(waiting.ended_count == 1);

    waiting.pause.end();
    waiting.begin(for_ever);
    waiting.run_what_is_ready();
    CHECK(waiting.ended_count == 1);
    waiting.pause.end();
    waiting.run_what_is_ready();
    CHECK(waiting.ended_count == 2);
}
