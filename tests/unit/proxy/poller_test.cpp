#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/net/clock.hpp"
#include "proxy/net/tasks.hpp"
#include "proxy/net/transport.hpp"

using namespace larder::proxy;
using larder::rules::Errc;
namespace rules = larder::rules;

namespace {

/// Two ends: ours does not block, the other one does.
struct Pair {
    Descriptor ours, other;
};

Pair unix_pair()
{
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    REQUIRE(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

Pair tcp_pair()
{
    const Descriptor listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    Descriptor other(::socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(::connect(other.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    Descriptor ours(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    REQUIRE(ours);
    return {std::move(ours), std::move(other)};
}

void send(const Descriptor& to, std::string_view bytes, int flags = 0)
{
    REQUIRE(::send(to.get(), bytes.data(), bytes.size(), flags) == static_cast<ssize_t>(bytes.size()));
}

/// Reads as the request path does, a few bytes at a time: tries, and waits when a try would block. To the end, or until
/// `wanted` bytes are there.
asio::awaitable<void> read_on(Transport& transport, std::string& got, std::size_t wanted, bool& ended)
{
    std::array<char, 8> buffer;
    while (got.size() < wanted) {
        const IoTry tried = transport.try_read(buffer);
        if (tried.ok()) {
            got.append(buffer.data(), tried.bytes);
            continue;
        }
        if (!tried.blocked()) break;
        const bool ready = co_await transport.wait(Direction::read);
        if (!ready) break;
    }
    ended = true;
}

asio::awaitable<void> wait_for(Transport& transport, Direction direction, std::string& told)
{
    const bool ready = co_await transport.wait(direction);
    told = ready ? "ready" : "ended";
}

asio::awaitable<void> close_when_ready(Transport& own, std::unique_ptr<Transport>& closed, int& count)
{
    const bool ready = co_await own.wait(Direction::read);
    if (ready) ++count;
    closed.reset();
}

asio::awaitable<void> hold_until_ready(std::shared_ptr<Transport> transport, std::weak_ptr<int>& alive)
{
    const auto held = std::make_shared<int>(1);
    alive = held;
    co_await transport->wait(Direction::read);
}

constexpr int far_too_often = 100'000;

/// A socket that is ready again as soon as it has been told, until `enough` or far too often.
asio::awaitable<void> feed_itself(Transport& transport, const Descriptor& other, int& told, const bool& enough)
{
    std::array<char, 8> buffer;
    while (!enough && told < far_too_often) {
        const bool ready = co_await transport.wait(Direction::read);
        if (!ready) co_return;
        ++told;
        transport.try_read(buffer);
        send(other, "x");
    }
}

/// Once ready, posts a note and makes another socket ready.
asio::awaitable<void> post_and_send(Transport& transport, asio::io_context& context, const Descriptor& other,
                                    std::string& order)
{
    co_await transport.wait(Direction::read);
    order += "first,";
    asio::post(context, [&order] { order += "posted,"; });
    send(other, "x");
}

asio::awaitable<void> read_clock_twice(Transport& transport, std::vector<rules::Instant>& read)
{
    co_await transport.wait(Direction::read);
    read.push_back(recent_instant());
    read.push_back(recent_instant());
}

asio::awaitable<void> note_when_ready(Transport& transport, std::string& order)
{
    co_await transport.wait(Direction::read);
    order += "second,";
}

constexpr std::size_t all = 1'000'000;

}  // namespace

TEST_CASE("what had come before the wait is not missed, nor what comes after a short read")
{
    asio::io_context context(1);
    Tasks tasks(context);
    for (auto make : {unix_pair, tcp_pair}) {
        Pair pair = make();
        send(pair.other, "one");
        Transport transport(std::move(pair.ours), context);
        std::string got;
        bool ended = false;
        tasks.spawn("test", read_on(transport, got, 6, ended));
        while (got.size() < 3) context.run_one();
        CHECK(got == "one");
        send(pair.other, "two");
        context.restart();
        context.run();
        CHECK(got == "onetwo");
        CHECK(ended);
        context.restart();
    }
}

TEST_CASE("the end is told of though the bytes before it were read short, and though it came with them")
{
    asio::io_context context(1);
    Tasks tasks(context);
    for (auto make : {unix_pair, tcp_pair}) {
        Pair pair = make();
        send(pair.other, "123456789 that is more than one read");
        pair.other.close();
        Transport transport(std::move(pair.ours), context);
        std::string got;
        bool ended = false;
        tasks.spawn("test", read_on(transport, got, all, ended));
        context.run();
        CHECK(got == "123456789 that is more than one read");
        CHECK(ended);
        context.restart();
    }
}

TEST_CASE("a read that fills its room exactly is followed by another")
{
    asio::io_context context(1);
    Tasks tasks(context);
    Pair pair = unix_pair();
    send(pair.other, "1234567812345678");
    Transport transport(std::move(pair.ours), context);
    std::string got;
    bool ended = false;
    tasks.spawn("test", read_on(transport, got, 16, ended));
    context.run();
    CHECK(got == "1234567812345678");
}

TEST_CASE("urgent data does not hold back what stands behind it")
{
    asio::io_context context(1);
    Tasks tasks(context);
    Pair pair = tcp_pair();
    send(pair.other, "abc");
    send(pair.other, "!", MSG_OOB);
    send(pair.other, "def");
    Transport transport(std::move(pair.ours), context);
    std::string got;
    bool ended = false;
    tasks.spawn("test", read_on(transport, got, 6, ended));
    context.run();
    CHECK(got == "abcdef");
}

TEST_CASE("room to write is told of, again and again")
{
    asio::io_context context(1);
    Tasks tasks(context);
    for (auto make : {unix_pair, tcp_pair}) {
        Pair pair = make();
        Transport transport(std::move(pair.ours), context);
        const std::string much(65'536, 'x');
        std::string drained(much.size(), ' ');
        for (int round = 0; round < 3; ++round) {
            iovec piece{const_cast<char*>(much.data()), much.size()};
            std::size_t written = 0;
            for (;;) {
                const IoTry tried = transport.try_write({&piece, 1});
                if (!tried.ok()) break;
                written += tried.bytes;
            }
            std::string told;
            tasks.spawn("test", wait_for(transport, Direction::write, told));
            context.poll();
            CHECK(told.empty());
            while (written > 0) {
                const ssize_t count = ::recv(pair.other.get(), drained.data(), std::min(drained.size(), written), 0);
                REQUIRE(count > 0);
                written -= static_cast<std::size_t>(count);
            }
            context.restart();
            context.run();
            CHECK(told == "ready");
            context.restart();
        }
    }
}

TEST_CASE("a wait ends when it is cancelled or the socket closed; after an abort none begins")
{
    asio::io_context context(1);
    Tasks tasks(context);
    Pair pair = unix_pair();
    Transport transport(std::move(pair.ours), context);
    std::string told;
    tasks.spawn("test", wait_for(transport, Direction::read, told));
    context.poll();
    transport.cancel_waits();
    context.restart();
    context.run();
    CHECK(told == "ended");

    send(pair.other, "x");
    context.restart();
    tasks.spawn("test", wait_for(transport, Direction::read, told));
    context.run();
    CHECK(told == "ready");

    transport.abort(Errc::client_timeout);
    told.clear();
    context.restart();
    tasks.spawn("test", wait_for(transport, Direction::read, told));
    context.run();
    CHECK(told == "ended");

    Pair second = unix_pair();
    Transport closing(std::move(second.ours), context);
    told.clear();
    context.restart();
    tasks.spawn("test", wait_for(closing, Direction::read, told));
    context.poll();
    closing.close();
    context.restart();
    context.run();
    CHECK(told == "ended");
}

TEST_CASE("a socket that another one's waiter frees in the same turn is not told of its event")
{
    asio::io_context context(1);
    Tasks tasks(context);
    Pair one = unix_pair(), two = unix_pair();
    send(one.other, "x");
    send(two.other, "x");
    auto first = std::make_unique<Transport>(std::move(one.ours), context);
    auto second = std::make_unique<Transport>(std::move(two.ours), context);
    Transport& of_first = *first;
    Transport& of_second = *second;
    int count = 0;
    tasks.spawn("test", close_when_ready(of_first, second, count));
    tasks.spawn("test", close_when_ready(of_second, first, count));
    context.run();
    CHECK(count == 1);  // whoever came first has freed the other
}

TEST_CASE("a socket that becomes ready while another one is told comes before what was posted meanwhile")
{
    std::string order;
    for (int i = 0; i < 1'000 && order != "first,second,posted,"; ++i) {  // unless this took a turn's whole time
        asio::io_context context(1);
        Tasks tasks(context);
        Pair one = unix_pair(), two = unix_pair();
        send(one.other, "x");
        Transport first(std::move(one.ours), context), second(std::move(two.ours), context);
        order.clear();
        tasks.spawn("test", post_and_send(first, context, two.other, order));
        tasks.spawn("test", note_when_ready(second, order));
        context.run();
    }
    CHECK(order == "first,second,posted,");
}

TEST_CASE("what one event leads to has one time, and the next another")
{
    asio::io_context context(1);
    Tasks tasks(context);
    Pair one = unix_pair(), two = unix_pair();
    send(one.other, "x");
    send(two.other, "x");
    Transport first(std::move(one.ours), context), second(std::move(two.ours), context);
    std::vector<rules::Instant> read;
    tasks.spawn("test", read_clock_twice(first, read));
    tasks.spawn("test", read_clock_twice(second, read));
    context.run();
    REQUIRE(read.size() == 4);
    CHECK(read[0] == read[1]);
    CHECK(read[2] == read[3]);
    CHECK(read[0] < read[2]);
    const rules::Instant behind = recent_instant();
    CHECK(behind > read[2]);
    bool goes_on = false;
    for (int i = 0; i < 1'000'000 && !goes_on; ++i) goes_on = recent_instant() > behind;
    CHECK(goes_on);
}

TEST_CASE("what was posted has its turn, however soon a socket is ready again")
{
    asio::io_context context(1);
    Tasks tasks(context);
    Pair pair = unix_pair();
    send(pair.other, "x");
    Transport transport(std::move(pair.ours), context);
    int told = 0;
    bool enough = false;
    tasks.spawn("test", feed_itself(transport, pair.other, told, enough));
    int told_before = 0;
    while (told == 0 && context.run_one() != 0) {}
    asio::post(context, [&] {
        told_before = told;
        enough = true;
    });
    context.run();
    CHECK(told_before > 0);
    CHECK(told_before < far_too_often);
}

TEST_CASE("pieces arrive whole and in their order, few bytes or many")
{
    asio::io_context context(1);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{8'000}, std::size_t{8'190},
                                   std::size_t{8'191}, std::size_t{20'000}}) {
        Pair pair = unix_pair();
        Transport transport(std::move(pair.ours), context);
        std::string head = "a:", body(size, 'b');
        const std::array<iovec, 2> pieces{iovec{head.data(), head.size()}, iovec{body.data(), body.size()}};
        const IoTry written = transport.try_write(pieces);
        REQUIRE(written.ok());
        REQUIRE(written.bytes == head.size() + size);
        std::string got(head.size() + size, ' ');
        CHECK(::recv(pair.other.get(), got.data(), got.size(), MSG_WAITALL) == static_cast<ssize_t>(got.size()));
        CHECK(got == head + body);
    }
}

TEST_CASE("an io_context that goes frees who still waits")
{
    std::weak_ptr<int> alive;
    Pair pair = unix_pair();
    {
        asio::io_context context(1);
        Tasks tasks(context);
        auto transport = std::make_shared<Transport>(std::move(pair.ours), context);
        tasks.spawn("test", hold_until_ready(std::move(transport), alive));
        context.poll();
        CHECK_FALSE(alive.expired());
    }
    CHECK(alive.expired());
}
