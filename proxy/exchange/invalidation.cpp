#include "proxy/exchange/invalidation.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>

#include "rules/base/text.hpp"
#include "rules/verdict/invalidation.hpp"

namespace larder::proxy {

namespace {

using rules::FieldId;

/// A host as it counts for an origin: the port that the scheme implies says nothing.
std::string_view without_default_port(std::string_view authority, bool secure)
{
    const std::string_view port = secure ? ":443" : ":80";
    if (authority.ends_with(port)) authority.remove_suffix(port.size());
    return authority;
}

/// Who speaks TLS before us is not known, so the scheme makes no difference: at worst too much is voided.
bool is_same_origin(const boost::urls::url& location, std::string_view host)
{
    const bool secure = location.scheme_id() == boost::urls::scheme::https;
    if (!secure && location.scheme_id() != boost::urls::scheme::http) return false;
    const std::string_view authority = location.encoded_authority();
    if (authority.find('@') != std::string_view::npos) return false;
    return rules::equals_ignoring_case(without_default_port(authority, secure), without_default_port(host, secure));
}

void append_named(std::vector<rules::PurgeTarget>& targets, const Exchange& exchange, std::string_view reference,
                  std::string_view host)
{
    const auto parsed = boost::urls::parse_uri_reference(reference);
    const std::string base_text = "http://" + std::string(host) + std::string(exchange.head.path);
    const auto base = boost::urls::parse_uri(base_text);
    if (!parsed || !base) return;
    boost::urls::url location;
    if (!boost::urls::resolve(*base, *parsed, location) || !is_same_origin(location, host)) return;
    const std::string_view path = location.encoded_path();
    rules::append_invalidated(targets, *exchange.services->config->matcher, exchange.services->config->cache, host,
                              path.empty() ? std::string_view("/") : path, location.encoded_query());
}

}  // namespace

void append_invalidated_by(std::vector<rules::PurgeTarget>& targets, const Exchange& exchange,
                           const rules::ResponseHead& response)
{
    if (!rules::status_invalidates(response.status)) return;
    const config::Config& config = *exchange.services->config;
    const std::string_view host = exchange.head.authority;
    rules::append_invalidated(targets, *config.matcher, config.cache, host, exchange.head.path, exchange.head.query);
    const std::string_view site = host.empty() ? std::string_view(config.upstream.host_header) : host;
    for (const rules::Field& field : response.fields.all)
        if (field.id == FieldId::location || field.id == FieldId::content_location)
            append_named(targets, exchange, field.value, site);
}

}  // namespace larder::proxy
