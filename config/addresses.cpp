#include "config/addresses.hpp"

#include <boost/url/authority_view.hpp>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <optional>

#include "rules/base/text.hpp"

namespace larder::config {
namespace {

namespace urls = boost::urls;
using rules::parse_digits;

// sun_path of Linux has 108 bytes, one of them the terminating zero.
constexpr std::size_t unix_path_limit_bytes = 107;

std::string check_unix_path(std::string_view path)
{
    if (!path.starts_with('/') || path == "/") return "a unix socket needs an absolute path; write unix:/run/app.sock";
    if (path.size() > unix_path_limit_bytes) return "the path of a unix socket has at most 107 bytes";
    return {};
}

// The parser takes `host:x` for a host, an empty port and a path `x`.
bool path_runs_into_port(const urls::url_view& url)
{
    const auto path = url.encoded_path();
    return !path.empty() && path.front() != '/';
}

// Host and port of a parsed authority; what is wrong as text.
Read<Endpoint> to_endpoint(const urls::authority_view& authority, std::optional<std::uint16_t> default_port)
{
    Endpoint endpoint;
    if (authority.host_type() == urls::host_type::ipvfuture) return std::string("this kind of address is unknown");
    const auto encoded = authority.encoded_host();
    if (encoded.find('%') != std::string_view::npos) return std::string("a host name has no percent-encoding");
    endpoint.host = authority.host_address();
    if (endpoint.host.size() > 253) return std::string("a host name has at most 253 bytes");
    if (!authority.has_port() || authority.port().empty()) {
        if (!default_port) return std::string("the port is missing");
        endpoint.port = *default_port;
        return endpoint;
    }
    const auto port = parse_digits(std::string_view(authority.port().data(), authority.port().size()));
    if (!port || *port > 65535) return std::string("a port is a number up to 65535");
    endpoint.port = static_cast<std::uint16_t>(*port);
    return endpoint;
}

std::string_view view(urls::string_view text) { return {text.data(), text.size()}; }

bool has_scheme(std::string_view text, std::string_view scheme)
{
    return text.size() > scheme.size() && rules::equals_ignoring_case(text.substr(0, scheme.size()), scheme) &&
           text[scheme.size()] == ':';
}

// What stands before the last @ of an authority; false: it cannot be read.
bool read_login(std::string_view text, Store& store)
{
    const std::string with_host = std::string(text) + "@host";
    const auto authority = urls::parse_authority(urls::string_view(with_host.data(), with_host.size()));
    if (!authority) return false;
    store.user = authority->user();
    store.password = authority->password();
    return true;
}

// The path of a sentinel's URL: /NAME or /NAME/DB. What is wrong as text; empty: nothing.
std::string read_master(std::string_view path, Store& store)
{
    constexpr std::string_view form = "write redis+sentinel://HOST:26379,HOST:26379/NAME, or /NAME/0 with a database";
    if (path.starts_with('/')) path.remove_prefix(1);
    const std::size_t slash = path.find('/');
    store.master_name = path.substr(0, slash);
    if (store.master_name.empty())
        return "the name that the sentinels have for the master is missing; " + std::string(form);
    for (const char c : store.master_name)
        if (!rules::is_alpha(c) && !rules::is_digit(c) && c != '.' && c != '_' && c != '-')
            return "a master's name has letters, digits, . _ and -; " + std::string(form);
    const std::string_view database = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    if (database.empty()) return {};
    const auto number = parse_digits(database);
    if (!number || *number > 65535) return "the database is a number, such as 0; " + std::string(form);
    store.database = static_cast<std::uint32_t>(*number);
    return {};
}

// `redis+sentinel://…` and `redis+cluster://…`: several hosts, which no URL parser knows. No message repeats a part of
// the text: a password with an unescaped / or @ may be anywhere.
Read<Store> read_group_url(std::string_view text, StoreTopology topology, bool tls)
{
    const bool sentinel = topology == StoreTopology::sentinel;
    const std::string scheme = std::string(tls ? "rediss+" : "redis+") + (sentinel ? "sentinel" : "cluster");
    const std::string forms =
        "write " + scheme + (sentinel ? "://HOST:26379,HOST:26379/NAME" : "://HOST:6379,HOST:6379");
    const std::string escape =
        ". Characters of a password such as / ? # @ [ ] are written percent-encoded, or use password_file";
    text.remove_prefix(scheme.size() + 1);
    if (!text.starts_with("//")) return "not a URL; " + forms;
    text.remove_prefix(2);
    const std::string_view authority = text.substr(0, text.find_first_of("/?#"));
    const std::string_view path = text.substr(authority.size());
    if (path.find_first_of("?#") != std::string_view::npos) return "this kind of URL has no ? or #; " + forms + escape;

    Store store;
    store.kind = StoreKind::redis;
    store.topology = topology;
    store.tls = tls;
    std::string_view hosts = authority;
    std::string login;
    if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
        if (!read_login(authority.substr(0, at), store)) return "not a URL; " + forms + escape;
        const std::string_view user = authority.substr(0, std::min(at, authority.find(':')));
        if (!user.empty()) login = std::string(user) + "@";
        hosts.remove_prefix(at + 1);
    }
    while (!hosts.empty() || store.seeds.empty()) {
        const std::string_view one = hosts.substr(0, hosts.find(','));
        const bool last = one.size() == hosts.size();
        hosts.remove_prefix(std::min(hosts.size(), one.size() + 1));
        if (one.empty() || (!last && hosts.empty())) return "a host is missing; " + forms;
        const auto parsed = urls::parse_authority(urls::string_view(one.data(), one.size()));
        if (!parsed || parsed->host().empty()) return "one of the hosts is no HOST or HOST:PORT; " + forms + escape;
        auto endpoint = to_endpoint(*parsed, sentinel ? 26379 : 6379);
        if (auto* problem = std::get_if<std::string>(&endpoint)) return *problem + "; " + forms;
        store.seeds.push_back(std::move(std::get<Endpoint>(endpoint)));
        if (store.seeds.back().port == 0) return std::string("port 0 cannot be connected to");
    }

    if (sentinel) {
        if (std::string problem = read_master(path, store); !problem.empty()) return problem;
    } else if (!path.empty() && path != "/") {
        return "a cluster has no databases; remove what is after the hosts: " + forms;
    }

    store.url_for_display = scheme + "://" + login;
    for (std::size_t i = 0; i < store.seeds.size(); ++i)
        store.url_for_display += (i == 0 ? "" : ",") + store.seeds[i].to_string();
    if (sentinel) store.url_for_display += "/" + store.master_name + "/" + std::to_string(store.database);
    return store;
}

}  // namespace

Read<Endpoint> read_endpoint(std::string_view text)
{
    constexpr std::string_view forms = "write HOST:PORT, such as 127.0.0.1:9090, [::1]:9090, or :8080 for any address";
    if (text.starts_with("unix:")) {
        Endpoint endpoint;
        endpoint.unix_path = text.substr(text.starts_with("unix:///") ? 7 : 5);
        if (std::string problem = check_unix_path(endpoint.unix_path); !problem.empty()) return problem;
        return endpoint;
    }
    const auto quoted = [&] { return "\"" + std::string(text.substr(0, 80)) + "\""; };
    if (const auto port = parse_digits(text); port && *port <= 65535)
        return "the host is missing; write :" + std::string(text) +
               " for any address, or 127.0.0.1:" + std::string(text);
    if (text.find("://") != std::string_view::npos) return "an address to listen on is no URL; " + std::string(forms);
    const auto authority = urls::parse_authority(urls::string_view(text.data(), text.size()));
    if (!authority || authority->has_userinfo()) return quoted() + " is not an address; " + std::string(forms);
    auto endpoint = to_endpoint(*authority, std::nullopt);
    if (auto* problem = std::get_if<std::string>(&endpoint))
        return quoted() + ": " + *problem + "; " + std::string(forms);
    return endpoint;
}

Read<Upstream> read_upstream_url(std::string_view text)
{
    const std::string forms = "write http://HOST:PORT, https://HOST, or unix:/run/app.sock";
    const bool is_unix = has_scheme(text, "unix"), is_https = has_scheme(text, "https");
    if (!is_unix && !is_https && !has_scheme(text, "http")) {
        if (text.find("://") != std::string_view::npos) return "this kind of URL is no upstream; " + forms;
        const auto endpoint = read_endpoint(text);
        if (std::holds_alternative<Endpoint>(endpoint) && text.find('@') == std::string_view::npos)
            return "the scheme is missing; write http://" + std::string(text);
        return "not a URL; " + forms;
    }
    const auto url = urls::parse_uri(urls::string_view(text.data(), text.size()));
    if (!url) return "not a URL; " + forms;
    if (url->has_userinfo()) return std::string("the upstream's URL has no user or password; remove what is before @");
    if (url->has_query() || url->has_fragment())
        return std::string("the upstream's URL has no query; remove what is after ? or #");

    Upstream upstream;
    if (is_unix) {
        if (!url->host().empty()) return std::string("write unix:/path with one slash, or unix:///path with three");
        upstream.endpoint.unix_path = url->path();
        if (std::string problem = check_unix_path(upstream.endpoint.unix_path); !problem.empty()) return problem;
        upstream.host_header = "localhost";
        return upstream;
    }
    if (!url->has_authority() || url->host().empty()) return "the host is missing; " + forms;
    if (path_runs_into_port(*url)) return "a port is a number up to 65535; " + forms;
    if (!url->encoded_path().empty() && url->encoded_path() != "/")
        return std::string("the upstream's URL has no path: requests are forwarded with the path they came with");
    auto endpoint = to_endpoint(url->authority(), is_https ? 443 : 80);
    if (auto* problem = std::get_if<std::string>(&endpoint)) return *problem + "; " + forms;
    upstream.endpoint = std::get<Endpoint>(endpoint);
    if (upstream.endpoint.port == 0) return std::string("port 0 cannot be connected to");
    upstream.tls = is_https;
    upstream.host_header = view(url->encoded_host());
    if (!url->port().empty()) upstream.host_header += ':' + std::to_string(upstream.endpoint.port);
    return upstream;
}

std::string read_otlp_url(std::string_view text, OtlpPath path, Tracing& tracing)
{
    const std::string forms = "write http://HOST:4318 or https://HOST/PATH";
    const bool is_https = has_scheme(text, "https");
    if (!is_https && !has_scheme(text, "http")) {
        if (text.find("://") == std::string_view::npos && text.find('@') == std::string_view::npos &&
            std::holds_alternative<Endpoint>(read_endpoint(text)))
            return "the scheme is missing; write http://" + std::string(text);
        return "spans are posted to an http or https URL; " + forms;
    }
    const auto url = urls::parse_uri(urls::string_view(text.data(), text.size()));
    if (!url) return "not a URL; " + forms;
    if (url->has_userinfo())
        return "this URL has no user or password; write OTEL_EXPORTER_OTLP_HEADERS=Authorization=Basic%20...";
    if (url->has_fragment()) return "this URL has no #; " + forms;
    if (!url->has_authority() || url->host().empty()) return "the host is missing; " + forms;
    if (path_runs_into_port(*url)) return "a port is a number up to 65535; " + forms;
    auto endpoint = to_endpoint(url->authority(), is_https ? 443 : 80);
    if (auto* problem = std::get_if<std::string>(&endpoint)) return *problem + "; " + forms;
    tracing.address = std::get<Endpoint>(endpoint);
    if (tracing.address.port == 0) return "port 0 cannot be connected to";
    tracing.tls = is_https;
    tracing.host_header = view(url->encoded_host());
    if (!url->port().empty()) tracing.host_header += ':' + std::to_string(tracing.address.port);
    tracing.target = view(url->encoded_path());
    const bool has_path = !tracing.target.empty() && tracing.target != "/";
    if (path == OtlpPath::base || (path == OtlpPath::completed && !has_path)) {
        while (tracing.target.ends_with('/')) tracing.target.pop_back();
        tracing.target += "/v1/traces";
    }
    if (tracing.target.empty()) tracing.target = "/";
    tracing.endpoint = (is_https ? "https://" : "http://") + tracing.host_header + tracing.target;
    if (url->has_query()) (tracing.target += '?') += view(url->encoded_query());
    return {};
}

Read<Store> read_store_url(std::string_view text)
{
    const std::string forms = "write redis://HOST:6379/0, rediss://HOST:6380/0 or unix:///run/redis.sock?db=0";
    for (const bool tls : {false, true}) {
        const std::string before = tls ? "rediss+" : "redis+";
        if (has_scheme(text, before + "sentinel")) return read_group_url(text, StoreTopology::sentinel, tls);
        if (has_scheme(text, before + "cluster")) return read_group_url(text, StoreTopology::cluster, tls);
        if (text.starts_with(before)) return "after " + before + " comes sentinel or cluster; " + forms;
    }
    const bool is_unix = has_scheme(text, "unix"), is_tls = has_scheme(text, "rediss");
    if (!is_unix && !is_tls && !has_scheme(text, "redis")) {
        if (text.find("://") != std::string_view::npos) return "this kind of URL is no store; " + forms;
        if (text.find('@') == std::string_view::npos && std::holds_alternative<Endpoint>(read_endpoint(text)))
            return "the scheme is missing; write redis://" + std::string(text);
        return "not a URL; " + forms;
    }
    const auto url = urls::parse_uri(urls::string_view(text.data(), text.size()));
    const std::string password_hint =
        ". Characters of a password such as / ? # @ [ ] are written percent-encoded, or use password_file";
    if (!url) return "not a URL; " + forms + password_hint;
    if (url->has_fragment()) return "a store's URL has no #; " + forms;

    Store store;
    store.kind = StoreKind::redis;
    store.tls = is_tls;
    store.user = url->user();
    store.password = url->password();

    std::string database;
    if (is_unix) {
        if (!url->host().empty()) return std::string("write unix:/path with one slash, or unix:///path with three");
        store.endpoint.unix_path = url->path();
        if (std::string problem = check_unix_path(store.endpoint.unix_path); !problem.empty()) return problem;
        for (const auto& parameter : url->params()) {
            if (parameter.key != "db" || !parameter.has_value)
                return std::string("only ?db=N can follow the path of a store's socket");
            database = parameter.value;
        }
    } else {
        if (!url->has_authority() || url->host().empty()) return "the host is missing; " + forms;
        if (path_runs_into_port(*url)) return "a port is a number up to 65535; " + forms + password_hint;
        if (url->has_query()) return "a store's URL has no query; the database is the path: redis://HOST:6379/0";
        auto endpoint = to_endpoint(url->authority(), 6379);
        if (auto* problem = std::get_if<std::string>(&endpoint)) return *problem + "; " + forms;
        store.endpoint = std::get<Endpoint>(endpoint);
        if (store.endpoint.port == 0) return std::string("port 0 cannot be connected to");
        database = url->path();
        if (database.starts_with('/')) database.erase(0, 1);
    }
    if (!database.empty()) {
        const auto number = parse_digits(database);
        if (!number || *number > 65535) return "the database is a number, such as 0; " + forms;
        store.database = static_cast<std::uint32_t>(*number);
    }

    const std::string user = store.user.empty() ? "" : std::string(view(url->encoded_user())) + "@";
    if (is_unix)
        store.url_for_display = "unix://" + user + store.endpoint.unix_path;
    else
        store.url_for_display = (is_tls ? "rediss://" : "redis://") + user + store.endpoint.to_string();
    store.url_for_display += (is_unix ? "?db=" : "/") + std::to_string(store.database);
    return store;
}

std::string check_network(std::string_view text)
{
    const std::size_t slash = text.find('/');
    const std::string_view address = text.substr(0, slash);
    const urls::string_view address_view(address.data(), address.size());
    const bool is_v4 = urls::parse_ipv4_address(address_view).has_value();
    const bool is_v6 = urls::parse_ipv6_address(address_view).has_value();
    const std::string forms = "write an address or a network, such as 10.0.0.0/8, 192.0.2.7 or fd00::/8";
    if (!is_v4 && !is_v6) return "\"" + std::string(text.substr(0, 60)) + "\" is not an address; " + forms;
    if (slash == std::string_view::npos) return {};
    const auto length = parse_digits(text.substr(slash + 1));
    if (!length || *length > (is_v4 ? 32u : 128u))
        return "the number after / is at most " + std::string(is_v4 ? "32" : "128");
    return {};
}

}  // namespace larder::config
