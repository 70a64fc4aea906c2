#include "proxy/admin/events_json.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>

using namespace larder::proxy;
using namespace std::chrono_literals;
namespace rules = larder::rules;

namespace {

const rules::WallTime noon{1'795'262'400'000ms};

}  // namespace

TEST_CASE("events stand as they are, and purges of all workers are sorted by time, newest first")
{
    const std::vector<RecentPurge> purges{{.time = noon, .rule = "a \"rule\"", .keys = 1, .patterns = 2},
                                          {.time = noon - 5s,
                                           .source = PurgeSource::invalidation,
                                           .state = RecentPurge::State::deferred,
                                           .rule = {},
                                           .keys = 1},
                                          {.time = noon + 1ms,
                                           .source = PurgeSource::admin,
                                           .state = RecentPurge::State::fenced,
                                           .rule = {},
                                           .patterns = 1}};
    const auto object = boost::json::parse(events_json({R"({"msg":"b"})", R"({"msg":"a"})"}, purges)).as_object();
    const auto& events = object.at("events").as_array();
    REQUIRE(events.size() == 2);
    CHECK(events[0].at("msg").as_string() == "b");
    const auto& told = object.at("purges").as_array();
    REQUIRE(told.size() == 3);
    CHECK(boost::json::serialize(told[0]) ==
          R"({"ts":"2026-11-21T12:00:00.001Z","source":"admin","state":"fenced","keys":0,"patterns":1})");
    CHECK(boost::json::serialize(told[1]) ==
          R"({"ts":"2026-11-21T12:00:00.000Z","source":"write","state":"appended","rule":"a \"rule\"","keys":1,)"
          R"("patterns":2})");
    CHECK(boost::json::serialize(told[2]) ==
          R"({"ts":"2026-11-21T11:59:55.000Z","source":"invalidation","state":"deferred","keys":1,"patterns":0})");
}

TEST_CASE("nothing has happened yet: both lists are there, and empty")
{
    const auto object = boost::json::parse(events_json({}, {})).as_object();
    CHECK(object.at("events").as_array().empty());
    CHECK(object.at("purges").as_array().empty());
}

TEST_CASE("however many workers there are, 50 purges are told")
{
    std::vector<RecentPurge> purges(200);
    for (std::size_t i = 0; i < purges.size(); ++i) purges[i].time = noon + std::chrono::milliseconds(i);
    const auto object = boost::json::parse(events_json({}, purges)).as_object();
    REQUIRE(object.at("purges").as_array().size() == 50);
    CHECK(object.at("purges").at(0).at("ts").as_string() == "2026-11-21T12:00:00.199Z");
}
