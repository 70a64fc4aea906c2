#include "proxy/redis/reply_reader.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "proxy/redis/resp.hpp"
#include "tests/unit/proxy/hiredis_reply.hpp"

using namespace larder::proxy;

namespace {

/// Written so that two readings can be compared, and read by a person: all there is, also where nobody should look.
std::string written(const Reply& reply)
{
    std::string out;
    switch (reply.kind) {
    case Reply::Kind::nil: out = "nil"; break;
    case Reply::Kind::status: out = "+"; break;
    case Reply::Kind::error: out = "-"; break;
    case Reply::Kind::integer: out = ":" + std::to_string(reply.integer); break;
    case Reply::Kind::text: out = "$"; break;
    case Reply::Kind::array: out = "*"; break;
    }
    out += "'" + reply.text + "'[";
    for (const Reply& element : reply.elements) out += written(element) + ",";
    return out + "]";
}

std::string by_hiredis(const std::string& bytes)
{
    const std::unique_ptr<redisReader, decltype(&redisReaderFree)> reader(redisReaderCreate(), redisReaderFree);
    redisReaderFeed(reader.get(), bytes.data(), bytes.size());
    std::string out;
    for (;;) {
        void* reply = nullptr;
        if (redisReaderGetReply(reader.get(), &reply) != REDIS_OK || !reply) return out;
        out += written(test::to_reply(*static_cast<redisReply*>(reply))) + "\n";
        freeReplyObject(reply);
    }
}

struct Readings {
    std::string text;          // of all replies
    std::size_t in_place = 0;  // of them
    std::size_t large = 0;     // of those: with a block for the first text
};

/// Gives the reader portions that `next_size` sizes, as a socket would, and asks for pairs of texts where they stand.
template <class NextSize>
Readings readings(ReplyReader& reader, std::string_view bytes, NextSize next_size)
{
    Readings all;
    std::string& out = all.text;
    Reply reply;  // one for all: nothing of it may be left in the next
    std::array<std::optional<std::string_view>, 2> pair;
    while (!bytes.empty() && !reader.failed()) {
        const auto into = reader.room();
        const std::size_t count = std::min({bytes.size(), into.size(), next_size()});
        bytes.copy(into.data(), count);
        reader.received(count);
        bytes.remove_prefix(count);
        for (;;) {
            std::unique_ptr<char[]> large;
            if (reader.next_texts(pair, large)) {
                out += written(test::to_reply(pair)) + "\n";
                ++all.in_place;
                if (large) ++all.large;
            } else if (reader.next(reply)) {
                out += written(reply) + "\n";
            } else {
                break;
            }
        }
    }
    return all;
}

template <class NextSize>
std::string by_larder(ReplyReader& reader, std::string_view bytes, NextSize next_size)
{
    return readings(reader, bytes, next_size).text;
}

class RandomReplies {
  public:
    explicit RandomReplies(unsigned seed) : random_(seed) {}
    std::size_t below(std::size_t limit) { return random_() % limit; }

    std::string reply(int depth = 0)
    {
        switch (below(depth < 5 ? 8 : 6)) {
        case 0: return below(2) ? "+OK\r\n" : "+OK " + std::to_string(below(1000)) + "\r\n";
        case 1: return "-ERR no " + std::string(below(50), 'x') + "\r\n";
        case 2: return ":" + std::to_string(static_cast<long long>(below(1u << 30)) - (1 << 29)) + "\r\n";
        case 3: return below(2) ? "$-1\r\n" : "*-1\r\n";
        case 4:
        case 5: return text();
        default: break;
        }
        const std::size_t count = below(5);
        std::string out = "*" + std::to_string(count) + "\r\n";
        for (std::size_t i = 0; i < count; ++i) out += reply(depth + 1);
        return out;
    }

  private:
    std::string text()
    {
        // Around the sizes that are handled in different ways, now and then.
        static constexpr std::size_t sizes[] = {0,    1,    2,      30,     300,    8190,   8191,
                                                8192, 8193, 20'000, 65'534, 65'536, 200'000};
        std::string bytes(below(3) ? below(100) : sizes[below(std::size(sizes))], '\0');
        for (char& byte : bytes) byte = static_cast<char>(below(8) ? random_() : "\r\n$*"[below(4)]);
        return "$" + std::to_string(bytes.size()) + "\r\n" + bytes + "\r\n";
    }
    std::mt19937 random_;
};

}  // namespace

TEST_CASE("replies are read as hiredis reads them, however their bytes arrive")
{
    for (unsigned seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        RandomReplies random(seed);
        std::string bytes;
        for (int i = 0; i < 20; ++i) bytes += random.reply();
        const std::string expected = by_hiredis(bytes);
        ReplyReader reader(seed % 2 ? 64 * 1024 : 16 * 1024);
        CHECK(by_larder(reader, bytes, [] { return SIZE_MAX; }) == expected);
        CHECK(by_larder(reader, bytes, [&] { return 1 + random.below(random.below(10) ? 40'000 : 3); }) == expected);
        CHECK_FALSE(reader.failed());
    }
}

TEST_CASE("a pair of texts that has come whole is read where it stands, one that has not is waited for")
{
    const std::string large(9'000, 'x');
    const std::string
        pair = "*2\r\n$5\r\nvalue\r\n$16\r\n1763722000123456\r\n",
        half = "*2\r\n$-1\r\n$4\r\n1763\r\n", nils = "*2\r\n$-1\r\n$-1\r\n",
        long_one = "*2\r\n$9000\r\n" + large + "\r\n$1\r\n1\r\n",
        others = "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n*2\r\n:1\r\n$1\r\na\r\n-ERR\r\n*2\r\n*-1\r\n$1\r\na\r\n";
    const std::string bytes = pair + half + nils + pair + long_one + others + pair + "+OK\r\n";
    const std::string expected = by_hiredis(bytes);
    ReplyReader reader;
    const Readings whole = readings(reader, bytes, [] { return SIZE_MAX; });
    CHECK(whole.text == expected);
    CHECK(whole.in_place == 6);
    for (std::size_t size = 1; size < 60; ++size) {
        CAPTURE(size);
        ReplyReader slow;
        CHECK(readings(slow, bytes, [&] { return size; }).text == expected);
    }
    for (const std::string& wrong :
         {std::string("*2\r\n$1\r\nab\r\n$1\r\nb\r\n"), "*2\r\n$1\r\na\r\n$1x\r\nb\r\n" + pair}) {
        CAPTURE(wrong);
        ReplyReader broken;
        CHECK(readings(broken, wrong, [] { return SIZE_MAX; }).text.empty());
        CHECK(broken.failed());
    }
}

TEST_CASE("a pair whose first text is large and comes in portions is handed out with a block of its own")
{
    const std::string large(300'000, 'x'), begin = "*2\r\n$300000\r\n" + large + "\r\n",
                                           nil = "*2\r\n$-1\r\n$1\r\n1\r\n";
    for (const std::string& end : {std::string("$16\r\n1763722000123456\r\n"), std::string("$-1\r\n")}) {
        CAPTURE(end);
        const std::string bytes = begin + end + nil + begin + end;
        ReplyReader small(16);
        CHECK(by_larder(small, bytes, [] { return SIZE_MAX; }) == by_hiredis(bytes));
        for (const std::size_t size : {std::size_t{40'000}, SIZE_MAX}) {
            ReplyReader reader;
            const Readings got = readings(reader, bytes, [size] { return size; });
            CHECK(got.text == by_hiredis(bytes));
            CHECK(got.large == 2);
            CHECK(got.in_place == 3);
        }
    }
    // Not so an array that only begins like one.
    for (const std::string& end : {std::string(":5\r\n"), std::string("*1\r\n$1\r\na\r\n"), std::string("-ERR\r\n")}) {
        CAPTURE(end);
        const std::string bytes = begin + end + nil;
        ReplyReader reader;
        const Readings got = readings(reader, bytes, [] { return std::size_t{40'000}; });
        CHECK(got.text == by_hiredis(bytes));
        CHECK(got.large == 0);
        CHECK(got.in_place == 1);
    }
}

TEST_CASE("a portion that is larger than the buffer is kept whole")
{
    RandomReplies random(1);
    std::string bytes;
    while (bytes.size() < 300'000) bytes += random.reply();
    ReplyReader reader(16 * 1024);
    reader.feed(bytes);
    std::string out;
    Reply reply;
    while (reader.next(reply)) out += written(reply) + "\n";
    CHECK(out == by_hiredis(bytes));
}

TEST_CASE("an array of many elements, which get their places as they come, is read as hiredis reads it")
{
    std::string bytes = "*3\r\n*2500\r\n";
    for (int i = 0; i < 2500; ++i) bytes += i % 500 == 0 ? "*2\r\n$1\r\nk\r\n:7\r\n" : "$5\r\nvalue\r\n";
    bytes += "*1100\r\n";
    for (int i = 0; i < 1100; ++i) bytes += ":1\r\n";
    bytes += "+OK\r\n";
    ReplyReader reader;
    CHECK(by_larder(reader, bytes, [] { return std::size_t{777}; }) == by_hiredis(bytes));
}

TEST_CASE("what no server says is not understood, and nothing after it is a reply")
{
    const std::string deep = [] {
        std::string out;
        for (int i = 0; i < 9; ++i) out += "*1\r\n";
        return out + ":1\r\n";
    }();
    const std::string long_line(70'000, 'x');
    for (const std::string& bytes :
         {std::string("HTTP/1.1 400 Bad Request\r\n"), std::string("\r\n"), std::string("+no carriage return\n"),
          std::string(":1x\r\n"), std::string(":\r\n"), std::string("$-2\r\n"), std::string("*-2\r\n"),
          std::string("$3\r\nabcde\r\n"), std::string("$ 3\r\nabc\r\n"), std::string("$99999999999\r\n"),
          std::string("*1000001\r\n"), std::string("%1\r\n"), deep, "+" + long_line + "\r\n",
          "$9000\r\n" + std::string(9000, 'x') + "xx"}) {
        CAPTURE(bytes.substr(0, 40));
        ReplyReader reader;
        CHECK(by_larder(reader, bytes, [] { return SIZE_MAX; }).empty());
        CHECK(reader.failed());
        reader.feed("+OK\r\n");
        Reply reply;
        CHECK_FALSE(reader.next(reply));
        reader.reset();
        reader.feed("+OK\r\n");
        CHECK(reader.next(reply));
    }
}

TEST_CASE("a frame of commands around the rests of some arguments is the commands")
{
    const CommandFrame frame{{{"MGET"}, {"of 10 bytes"}, {"shop:", true}, {"shop:{0}:q"}, {""}},
                             {{"PING"}},
                             {{"", true}, {"", true}, {"x"}}};
    CHECK(frame.commands_count() == 3);
    for (const std::string& changing : {std::string(), std::string("k"), std::string(230, 'x'), std::string(500, 'x'),
                                        std::string(2'000, 'x'), std::string(70'000, 'x')}) {
        CAPTURE(changing.size());
        const std::string whole = "shop:" + changing + "\n" + changing;
        const std::string_view first[] = {"MGET", "of 10 bytes", whole, "shop:{0}:q", ""}, second[] = {"PING"},
                               third[] = {"", changing, "x"};
        std::string expected = "behind others ", commands = expected;
        append_command(expected, first);
        append_command(expected, second);
        append_command(expected, third);
        const std::string_view pieces[] = {changing, "\n", changing};
        const CommandFrame::Rest rests[] = {pieces, {}, std::span(pieces).first(1)};
        frame.append_to(commands, rests);
        CHECK(commands == expected);
    }
}
