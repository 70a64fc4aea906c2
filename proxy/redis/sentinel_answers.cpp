#include "proxy/redis/sentinel_answers.hpp"

#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

std::optional<config::Endpoint> make_endpoint(std::string_view host, std::string_view port)
{
    const auto number = rules::parse_digits(port);
    if (host.empty() || !number || *number == 0 || *number > 65'535) return std::nullopt;
    config::Endpoint endpoint;
    endpoint.host = host;
    endpoint.port = static_cast<std::uint16_t>(*number);
    return endpoint;
}

}  // namespace

std::optional<config::Endpoint> parse_master_address(const Reply& reply)
{
    if (!reply.is_array() || reply.elements.size() != 2) return std::nullopt;
    return make_endpoint(reply.elements[0].text, reply.elements[1].text);
}

std::uint64_t parse_config_epoch(const Reply& reply)
{
    if (!reply.is_array()) return 0;
    for (std::size_t i = 0; i + 1 < reply.elements.size(); i += 2)
        if (reply.elements[i].text == "config-epoch")
            return rules::parse_digits(reply.elements[i + 1].text).value_or(0);
    return 0;
}

std::optional<config::Endpoint> parse_switch(const Reply& message, std::string_view master_name)
{
    // {"message", "+switch-master", "NAME OLD-HOST OLD-PORT NEW-HOST NEW-PORT"}
    if (!message.is_array() || message.elements.size() != 3 || message.elements[0].text != "message" ||
        message.elements[1].text != "+switch-master")
        return std::nullopt;
    std::string_view rest = message.elements[2].text;
    std::string_view words[5];
    for (std::string_view& word : words) {
        word = rest.substr(0, rest.find(' '));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    }
    if (words[0] != master_name) return std::nullopt;
    return make_endpoint(words[3], words[4]);
}

std::size_t sentinels_majority(std::size_t sentinels_count) noexcept { return sentinels_count / 2 + 1; }

std::optional<MasterAnswer> choose_master(std::span<const MasterAnswer> answers, std::size_t sentinels_count,
                                          const std::optional<MasterAnswer>& known)
{
    const MasterAnswer* best = nullptr;
    for (const MasterAnswer& answer : answers)
        if (!best || answer.epoch > best->epoch) best = &answer;
    if (!best) return std::nullopt;
    const bool many = answers.size() >= sentinels_majority(sentinels_count);
    if (known && best->epoch < known->epoch && !many) return std::nullopt;
    return *best;
}

}  // namespace larder::proxy
