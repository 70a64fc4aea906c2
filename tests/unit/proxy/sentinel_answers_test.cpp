#include "proxy/redis/sentinel_answers.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace larder;
using namespace larder::proxy;

namespace {

Reply texts(const std::vector<std::string>& values)
{
    Reply reply;
    reply.kind = Reply::Kind::array;
    for (const std::string& value : values) {
        Reply element;
        element.kind = Reply::Kind::text;
        element.text = value;
        reply.elements.push_back(element);
    }
    return reply;
}

MasterAnswer answer(const char* host, std::uint64_t epoch) { return {{host, 6379, ""}, epoch}; }

}  // namespace

TEST_CASE("a sentinel's answers give the address, the epoch and the announced master")
{
    CHECK(parse_master_address(texts({"10.0.0.1", "6379"}))->to_string() == "10.0.0.1:6379");
    CHECK(parse_master_address(texts({"fd00::1", "6379"}))->to_string() == "[fd00::1]:6379");
    CHECK_FALSE(parse_master_address(Reply{}));  // nil: a name that it does not know
    CHECK_FALSE(parse_master_address(texts({"10.0.0.1"})));
    CHECK_FALSE(parse_master_address(texts({"", "6379"})));
    CHECK_FALSE(parse_master_address(texts({"10.0.0.1", "0"})));
    CHECK_FALSE(parse_master_address(texts({"10.0.0.1", "port"})));

    CHECK(parse_config_epoch(texts({"name", "shop", "config-epoch", "7", "quorum", "2"})) == 7);
    CHECK(parse_config_epoch(texts({"name", "config-epoch"})) == 0);
    CHECK(parse_config_epoch(Reply{}) == 0);

    const auto message = [](const char* channel, const char* payload) { return texts({"message", channel, payload}); };
    CHECK(parse_switch(message("+switch-master", "shop 10.0.0.1 6379 10.0.0.2 6380"), "shop")->to_string() ==
          "10.0.0.2:6380");
    CHECK_FALSE(parse_switch(message("+switch-master", "other 10.0.0.1 6379 10.0.0.2 6380"), "shop"));
    CHECK_FALSE(parse_switch(message("+sdown", "shop 10.0.0.1 6379 10.0.0.2 6380"), "shop"));
    CHECK_FALSE(parse_switch(message("+switch-master", "shop 10.0.0.1"), "shop"));
    CHECK_FALSE(parse_switch(texts({"subscribe", "+switch-master"}), "shop"));
}

TEST_CASE("of sentinels that disagree the one with the newest knowledge is believed")
{
    struct Row {
        const char* why;
        std::vector<MasterAnswer> answers;
        std::size_t sentinels_count;
        std::optional<MasterAnswer> known;
        const char* chosen;  // null: nobody
    };
    const Row rows[] = {
        {"one of one", {answer("a", 1)}, 1, {}, "a"},
        {"the newer of two", {answer("a", 1), answer("b", 2)}, 3, {}, "b"},
        {"whoever came first, of equals", {answer("a", 2), answer("b", 2)}, 3, {}, "a"},
        {"the only one that answers, when nothing is known", {answer("a", 1)}, 3, {}, "a"},
        {"the only one that answers, and knows no less", {answer("a", 2)}, 3, answer("a", 2), "a"},
        {"the only one that answers knows less: cut off with the deposed master",
         {answer("a", 1)},
         3,
         answer("b", 2),
         nullptr},
        {"a majority knows less: they have been set up anew", {answer("a", 0), answer("a", 0)}, 3, answer("b", 2), "a"},
        {"nobody answers", {}, 3, answer("b", 2), nullptr},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const auto chosen = choose_master(row.answers, row.sentinels_count, row.known);
        CHECK(chosen.has_value() == (row.chosen != nullptr));
        if (chosen && row.chosen) CHECK(chosen->master.host == row.chosen);
    }
    CHECK(sentinels_majority(1) == 1);
    CHECK(sentinels_majority(2) == 2);
    CHECK(sentinels_majority(3) == 2);
    CHECK(sentinels_majority(5) == 3);
}
