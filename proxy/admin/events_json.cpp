#include "proxy/admin/events_json.hpp"

#include <algorithm>
#include <string_view>

#include "proxy/observe/escape.hpp"
#include "proxy/observe/timestamp.hpp"

namespace larder::proxy {

namespace {

std::string_view word(RecentPurge::State state) noexcept
{
    switch (state) {
    case RecentPurge::State::appended: return "appended";
    case RecentPurge::State::fenced: return "fenced";
    case RecentPurge::State::deferred: return "deferred";
    }
    return "appended";
}

void append_purge(std::string& out, const RecentPurge& purge)
{
    out += R"({"ts":")";
    append_time(out, purge.time);
    out += '"';
    append_json_field(out, "source", word(purge.source));
    append_json_field(out, "state", word(purge.state));
    if (!purge.rule.empty()) append_json_field(out, "rule", purge.rule);
    out += R"(,"keys":)" + std::to_string(purge.keys);
    out += R"(,"patterns":)" + std::to_string(purge.patterns) + '}';
}

}  // namespace

std::string events_json(const std::vector<std::string>& events, std::vector<RecentPurge> purges)
{
    constexpr std::size_t most_purges = 50;
    // Those of one worker come newest first, and stay so when they share a millisecond.
    std::stable_sort(purges.begin(), purges.end(), [](const auto& a, const auto& b) { return a.time > b.time; });
    if (purges.size() > most_purges) purges.resize(most_purges);

    std::string out = R"({"events":[)";
    for (std::size_t i = 0; i < events.size(); ++i) (out += i == 0 ? "\n" : ",\n") += events[i];
    out += "],\n\"purges\":[";
    for (std::size_t i = 0; i < purges.size(); ++i) append_purge(out += i == 0 ? "\n" : ",\n", purges[i]);
    return out + "]}\n";
}

}  // namespace larder::proxy
