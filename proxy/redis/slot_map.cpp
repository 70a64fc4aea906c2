#include "proxy/redis/slot_map.hpp"

#include <algorithm>

namespace larder::proxy {

namespace {

constexpr std::int64_t slots_count = 16'384;

// {host, port, id, {"ip", "10.0.0.1"}}. The host is nil or empty when the node does not know its own, "?" when it is
// to be known by a name that nobody gave it: then the address is behind "ip", if anywhere.
std::optional<config::Endpoint> parse_node(const Reply& node, const config::Endpoint& asked)
{
    if (!node.is_array() || node.elements.size() < 2) return std::nullopt;
    const Reply& host = node.elements[0];
    const Reply& port = node.elements[1];
    if (port.kind != Reply::Kind::integer || port.integer < 1 || port.integer > 65'535) return std::nullopt;
    config::Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(port.integer);
    endpoint.host = host.text;
    if (endpoint.host == "?") {
        endpoint.host.clear();
        if (node.elements.size() >= 4 && node.elements[3].is_array()) {
            const auto& pairs = node.elements[3].elements;
            for (std::size_t i = 0; i + 1 < pairs.size(); i += 2)
                if (pairs[i].text == "ip") endpoint.host = pairs[i + 1].text;
        }
    }
    if (endpoint.host.empty()) endpoint.host = asked.host;
    return endpoint;
}

}  // namespace

std::optional<SlotMap> SlotMap::parse(const Reply& reply, const config::Endpoint& asked)
{
    if (!reply.is_array()) return std::nullopt;
    SlotMap map;
    for (const Reply& entry : reply.elements) {
        if (!entry.is_array() || entry.elements.size() < 3) return std::nullopt;
        const std::int64_t first = entry.elements[0].integer, last = entry.elements[1].integer;
        if (entry.elements[0].kind != Reply::Kind::integer || entry.elements[1].kind != Reply::Kind::integer ||
            first < 0 || last < first || last >= slots_count)
            return std::nullopt;
        for (std::size_t i = 2; i < entry.elements.size(); ++i) {
            auto node = parse_node(entry.elements[i], asked);
            if (!node) return std::nullopt;
            if (i == 2) map.ranges_.push_back({static_cast<unsigned>(first), static_cast<unsigned>(last), *node});
            const bool known = std::any_of(map.nodes_.begin(), map.nodes_.end(),
                                           [&](const config::Endpoint& other) { return is_same_server(other, *node); });
            if (!known) map.nodes_.push_back(std::move(*node));
        }
    }
    return map;
}

const config::Endpoint* SlotMap::master_of(unsigned slot) const noexcept
{
    for (const Range& range : ranges_)
        if (slot >= range.first && slot <= range.last) return &range.master;
    return nullptr;
}

}  // namespace larder::proxy
