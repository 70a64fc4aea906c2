// Addresses as people write them: where to listen, where the upstream and the store are. URLs are parsed by Boost.URL.
// Messages never repeat an address that may hold a password.
#pragma once

#include "config/config.hpp"
#include "config/quantities.hpp"

namespace larder::config {

/// `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, `:8080` (any address), `unix:/run/larder.sock`.
Read<Endpoint> read_endpoint(std::string_view text);

/// `http://host[:port]`, `https://host[:port]`, `unix:/path`. Only the address is set; the rest has its defaults.
Read<Upstream> read_upstream_url(std::string_view text);

/// `redis://[user:password@]host[:port][/db]`, `rediss://…`, `unix:///path[?db=N]`,
/// `redis+sentinel://[user:password@]host[:port],…/master-name[/db]`, `redis+cluster://[user:password@]host[:port],…`,
/// and both with `rediss+`. Before the @ stands the login of the servers, not that of the sentinels.
Read<Store> read_store_url(std::string_view text);

/// What becomes of the path of a collector's URL: `/v1/traces` is appended, or is the path when there is none, or it is
/// used as it is.
enum class OtlpPath : std::uint8_t { base, completed, exact };
/// Where spans are posted to: `http://host[:port][/path]` or `https://…`. Sets the address of `tracing` and nothing
/// else. What is wrong comes back in words; empty: nothing.
std::string read_otlp_url(std::string_view text, OtlpPath path, Tracing& tracing);

/// An IPv4 or IPv6 address, alone or with a prefix length: `10.0.0.0/8`. Empty when it is fine, else what is wrong.
std::string check_network(std::string_view text);

}  // namespace larder::config
