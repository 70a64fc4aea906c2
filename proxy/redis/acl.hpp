// The Redis user that Larder needs and no more: printed by `larder acl`, and what the tests run under.
#pragma once

#include <string>
#include <string_view>

namespace larder::proxy {

/// One `ACL SETUSER` line, without a newline; PASSWORD is for the operator to replace. No SCAN, KEYS, FLUSHDB,
/// FLUSHALL.
/// The same for a server alone, the servers behind Sentinel (master and replicas) and the nodes of a cluster.
std::string acl_text(std::string_view prefix, std::string_view user);

/// The same for the sentinels themselves.
std::string sentinel_acl_text(std::string_view user);

}  // namespace larder::proxy
