// `larder purge`: asks a running Larder to purge by hand, and says in words what came of it.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"

namespace larder::proxy {

struct PurgeCommand {
    std::vector<std::string> keys, patterns, tags;
    std::string rule;  // empty: none
    bool dry_run = false;
    std::string token;  // of admin_token_file; empty: none
};

/// What the command prints, and whether it has done its work.
struct PurgeTold {
    bool done = false;
    std::string text;  // lines; why not, when it is not done
};

PurgeTold run_purge_command(const config::Endpoint& admin, const PurgeCommand& command);

/// The same for a reply that has come: what it says, in words.
PurgeTold tell_purge_reply(unsigned status, const std::string& body);

}  // namespace larder::proxy
