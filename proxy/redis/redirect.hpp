// What an error reply says about where the data is. Sans-I/O.
#pragma once

#include <string_view>

#include "config/config.hpp"

namespace larder::proxy {

struct Redirect {
    enum class Kind : std::uint8_t {
        none,              // says nothing of the kind
        moved,             // MOVED: another node has the slot, for good
        ask,               // ASK: the key has left already, the slot has not
        try_again,         // TRYAGAIN: a part of the keys has left
        cluster_down,      // CLUSTERDOWN: nobody may be asked
        replica,           // READONLY: this server is no master any more
        too_few_replicas,  // NOREPLICAS: a master without enough replicas: perhaps it is one no more
    } kind = Kind::none;
    unsigned slot = 0;
    /// Of `moved`: who has the slot; the host is empty when the server does not say (then it is its own).
    config::Endpoint to;
};

/// @param error  text of an error reply
Redirect read_redirect(std::string_view error);

}  // namespace larder::proxy
