#include "proxy/redis/slot_map.hpp"

#include <doctest/doctest.h>

#include "proxy/redis/reply_reader.hpp"

using namespace larder;
using namespace larder::proxy;

namespace {

/// A reply from its bytes.
Reply reply_of(const std::string& bytes)
{
    ReplyReader reader;
    Reply reply;
    reader.feed(bytes);
    REQUIRE(reader.next(reply));
    return reply;
}

const config::Endpoint asked{"10.0.0.9", 7000, ""};

std::string text(const std::string& value) { return "$" + std::to_string(value.size()) + "\r\n" + value + "\r\n"; }
std::string node(const std::string& host, int port)
{
    return "*3\r\n" + host + ":" + std::to_string(port) + "\r\n" + text("id");
}
std::string range(int first, int last, int nodes_count)
{
    return "*" + std::to_string(2 + nodes_count) + "\r\n:" + std::to_string(first) + "\r\n:" + std::to_string(last) +
           "\r\n";
}

}  // namespace

TEST_CASE("a slot belongs to the master of its range, and replicas are known only as nodes to ask")
{
    const auto map =
        SlotMap::parse(reply_of("*3\r\n" + range(0, 5460, 2) + node(text("10.0.0.1"), 7001) +
                                node(text("10.0.0.4"), 7004) + range(5461, 10922, 1) + node(text("fd00::2"), 7002) +
                                range(10923, 10923, 1) + node(text("10.0.0.1"), 7001)),
                       asked);
    REQUIRE(map);
    CHECK(map->master_of(0)->to_string() == "10.0.0.1:7001");
    CHECK(map->master_of(5460)->to_string() == "10.0.0.1:7001");
    CHECK(map->master_of(5461)->to_string() == "[fd00::2]:7002");
    CHECK(map->master_of(10923)->to_string() == "10.0.0.1:7001");
    CHECK(map->master_of(10924) == nullptr);
    REQUIRE(map->nodes().size() == 3);
    CHECK(map->nodes()[1].to_string() == "10.0.0.4:7004");
}

TEST_CASE("a node that does not know its host is where it was asked; one without a name is at its address")
{
    const std::string unnamed =
        "*4\r\n" + text("?") + ":7003\r\n" + text("id") + "*2\r\n" + text("ip") + text("10.0.0.3");
    const auto map = SlotMap::parse(reply_of("*3\r\n" + range(0, 1, 1) + node("$-1\r\n", 7001) + range(2, 3, 1) +
                                             node(text(""), 7002) + range(4, 5, 1) + unnamed),
                                    asked);
    REQUIRE(map);
    CHECK(map->master_of(0)->to_string() == "10.0.0.9:7001");
    CHECK(map->master_of(2)->to_string() == "10.0.0.9:7002");
    CHECK(map->master_of(4)->to_string() == "10.0.0.3:7003");
}

TEST_CASE("a cluster without slots has an empty map; what is no answer to CLUSTER SLOTS has none")
{
    const auto empty = SlotMap::parse(reply_of("*0\r\n"), asked);
    REQUIRE(empty);
    CHECK(empty->master_of(0) == nullptr);
    for (const std::string& bytes :
         {std::string("+OK\r\n"), std::string("-ERR This instance has cluster support disabled\r\n"),
          std::string("*1\r\n:1\r\n"), std::string("*1\r\n*2\r\n:0\r\n:1\r\n"),
          "*1\r\n" + range(5, 4, 1) + node(text("a"), 1), "*1\r\n" + range(0, 16384, 1) + node(text("a"), 1),
          "*1\r\n" + range(0, 1, 1) + node(text("a"), 0), "*1\r\n" + range(0, 1, 1) + "*1\r\n" + text("a")}) {
        CAPTURE(bytes);
        CHECK_FALSE(SlotMap::parse(reply_of(bytes), asked));
    }
}
