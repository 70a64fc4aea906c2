// What sentinels say about the master, and whom to believe when they disagree. Sans-I/O. One that is cut off from the
// others goes on naming a deposed master; the epoch of its knowledge is older, and a majority is asked.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "config/config.hpp"
#include "proxy/redis/reply.hpp"

namespace larder::proxy {

struct MasterAnswer {
    config::Endpoint master;
    std::uint64_t epoch = 0;  // rises with each failover; 0: the sentinel does not say
};

/// Of SENTINEL GET-MASTER-ADDR-BY-NAME. Empty: the sentinel does not know the name, or it is no address.
std::optional<config::Endpoint> parse_master_address(const Reply& reply);
/// Of SENTINEL MASTER: the value behind "config-epoch"; 0: there is none.
std::uint64_t parse_config_epoch(const Reply& reply);
/// Of a message on +switch-master: the new master, when it is about this name.
std::optional<config::Endpoint> parse_switch(const Reply& message, std::string_view master_name);

/// How many of them must answer before one is believed without asking the others: more than half.
std::size_t sentinels_majority(std::size_t sentinels_count) noexcept;
/// The answer of the highest epoch; the first of several. Fewer than a majority are not believed when they know less
/// than what was known before: they may be on the wrong side of a partition. Empty: nobody is believed.
std::optional<MasterAnswer> choose_master(std::span<const MasterAnswer> answers, std::size_t sentinels_count,
                                          const std::optional<MasterAnswer>& known);

}  // namespace larder::proxy
