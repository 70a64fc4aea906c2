#include "proxy/admin/stranger.hpp"

#include <openssl/crypto.h>

#include <boost/asio/ip/address.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>

#include "proxy/net/asio.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

namespace http = boost::beast::http;

bool is_address(std::string_view host, asio::ip::address& address)
{
    error_code ec;
    address = asio::ip::make_address(std::string(host), ec);
    return !ec;
}

bool is_for_this_machine(const config::Endpoint& endpoint)
{
    if (!endpoint.unix_path.empty() || endpoint.host == "localhost") return true;
    asio::ip::address address;
    return is_address(endpoint.host, address) && address.is_loopback();
}

/// @param authority  a valid Host value, or empty
bool is_address_or_localhost(std::string_view authority)
{
    const bool bracketed = authority.starts_with('[');
    const std::string_view host =
        bracketed ? authority.substr(1, authority.find(']') - 1) : authority.substr(0, authority.find(':'));
    asio::ip::address address;
    return rules::equals_ignoring_case(host, "localhost") || is_address(host, address);
}

bool is_origin_of(std::string_view origin, std::string_view authority)
{
    for (const std::string_view scheme : {"http://", "https://"})
        if (rules::equals_ignoring_case(origin.substr(0, scheme.size()), scheme))
            return rules::equals_ignoring_case(origin.substr(scheme.size()), authority);
    return false;  // "null" is the origin of a sandboxed page
}

/// Why the request may be that of another site's page, and what to do; empty: it is not.
std::string_view signs_of_another_site(const rules::RequestHead& head, bool over_unix)
{
    for (const rules::Field& field : head.fields.all) {
        if (rules::equals_ignoring_case(field.name, "origin") && !is_origin_of(field.value, head.authority))
            return "Origin names another site than Host: without a token, web pages may change nothing here. Ask with "
                   "larder purge or curl, or set admin_token_file";
        if (rules::equals_ignoring_case(field.name, "sec-fetch-site") &&
            !rules::equals_ignoring_case(field.value, "same-origin") &&
            !rules::equals_ignoring_case(field.value, "none"))
            return "Sec-Fetch-Site says that a page of another site asks: without a token, web pages may change "
                   "nothing here. Ask with larder purge or curl, or set admin_token_file";
    }
    if (!over_unix && !is_address_or_localhost(head.authority))
        return "Host is neither an IP address nor localhost, and without a token a name is not believed: it may be a "
               "web page's that was pointed here. Ask http://127.0.0.1 or http://localhost, or set admin_token_file";
    return {};
}

AdminResponse make_unauthorized()
{
    AdminResponse response = make_problem(http::status::unauthorized,
                                          "this wants the token of admin_token_file, as Authorization: Bearer TOKEN");
    response.set(http::field::www_authenticate, "Bearer");
    return response;
}

bool shows_token(std::string_view authorization, std::string_view token)
{
    constexpr std::string_view scheme = "Bearer ";
    const bool is_bearer = rules::equals_ignoring_case(authorization.substr(0, scheme.size()), scheme);
    const std::string_view shown = is_bearer ? authorization.substr(scheme.size()) : std::string_view{};
    return shown.size() == token.size() && CRYPTO_memcmp(shown.data(), token.data(), token.size()) == 0;
}

}  // namespace

std::optional<Refusal> refuse_stranger(const rules::RequestHead& head, const config::Config& config, bool from_here)
{
    if (!config.admin_token.empty()) {
        if (shows_token(head.fields.value(rules::FieldId::authorization), config.admin_token)) return std::nullopt;
        return Refusal{false, make_unauthorized()};
    }
    if (config.admin && !is_for_this_machine(*config.admin) && !from_here)
        return Refusal{false, make_problem(http::status::forbidden,
                                           "admin: is not on loopback, so this wants a token: set admin_token_file")};
    const bool over_unix = config.admin && !config.admin->unix_path.empty();
    const std::string_view why = signs_of_another_site(head, over_unix);
    if (why.empty()) return std::nullopt;
    return Refusal{true, make_problem(http::status::forbidden, why)};
}

}  // namespace larder::proxy
