// Asks the admin server of a running Larder, for the commands of the command line. Blocks; no part of a server.
#pragma once

#include <string>

#include "config/config.hpp"

namespace larder::proxy {

struct AdminReply {
    unsigned status = 0;  // 0: no answer, and `error` says why
    std::string body;
    std::string error;
};

/// Sends one POST with a JSON body, and waits at most 10 s for the answer.
/// @param admin  as in `admin:`; an address that means "any" is asked on loopback
/// @param token  for `Authorization: Bearer`; empty: none
AdminReply post_to_admin(const config::Endpoint& admin, const std::string& target, const std::string& json,
                         const std::string& token = "");

}  // namespace larder::proxy
