// RFC 9110 §5.6.1 and §7.6.1: lists, and what must not travel further.
#include "rules/http/fields.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;

namespace {

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

std::string elements(std::string_view list)
{
    std::string joined;
    for_each_element(list, [&](std::string_view element) { joined.append("[").append(element).append("]"); });
    return joined;
}

}  // namespace

TEST_CASE("a list is split at commas outside quotes, and empty elements do not count")
{
    CHECK(elements("") == "");
    CHECK(elements(" , ,\t,") == "");
    CHECK(elements("a") == "[a]");
    CHECK(elements(" a ,b,\tc ") == "[a][b][c]");
    CHECK(elements("a=\"b, c\", d") == "[a=\"b, c\"][d]");
    CHECK(elements("a=\"b\\\", c\", d") == "[a=\"b\\\", c\"][d]");
    CHECK(elements("a=\"b, c") == "[a=\"b, c]");
    CHECK(elements("a\\") == "[a\\]");
    CHECK(elements("\"a\\") == "[\"a\\]");
}

TEST_CASE("a list is searched over all its lines, whole elements only, in any case")
{
    const Fields fields = fields_of({{"Connection", "te, Close"}, {"X", "upgrade"}, {"connection", "foo"}});
    CHECK(list_contains(fields, FieldId::connection, "close"));
    CHECK(list_contains(fields, FieldId::connection, "FOO"));
    CHECK_FALSE(list_contains(fields, FieldId::connection, "clos"));
    CHECK_FALSE(list_contains(fields, FieldId::connection, "upgrade"));
    CHECK_FALSE(list_contains(fields, FieldId::via, "close"));
}

TEST_CASE("lines of one name are combined in their order")
{
    const Fields fields = fields_of({{"Via", "a"}, {"X-A", "1"}, {"via", "b, c"}, {"x-a", ""}, {"X-A", "2"}});
    CHECK(combined_value(fields, FieldId::via) == "a, b, c");
    CHECK(combined_value(fields, "x-A") == "1, , 2");
    CHECK(combined_value(fields, "x-b").empty());
}

TEST_CASE("a hop-by-hop field is a fixed one or one that Connection names, unless everybody needs it")
{
    const Fields fields = fields_of({{"Connection", "close, X-Hop, Host, Authorization"},
                                     {"connection", "x-other, Cache-Control, Content-Length, X-Forwarded-For, close"}});
    const HopByHop is_hop_by_hop(fields);
    struct Row {
        std::string why, name;
        bool want;
    };
    const Row rows[] = {
        {"fixed", "Connection", true},
        {"fixed", "keep-alive", true},
        {"fixed", "Proxy-Connection", true},
        {"fixed", "TE", true},
        {"fixed", "Transfer-Encoding", true},
        {"fixed", "Upgrade", true},
        {"fixed", "HTTP2-Settings", true},
        {"between a client and its proxy", "Proxy-Authorization", true},
        {"between a client and its proxy", "Proxy-Authenticate", true},
        {"named", "X-HOP", true},
        {"named on a second line", "X-Other", true},
        {"not named", "X-Hops", false},
        {"naming it would change where the request goes", "Host", false},
        {"naming it would change who asks", "Authorization", false},
        {"naming it would change what is stored", "Cache-Control", false},
        {"naming it would change the framing", "Content-Length", false},
        {"naming it would hide the client", "X-Forwarded-For", false},
        {"an option, not a field", "Close", false},
        {"trailers travel on, and so does their announcement", "Trailer", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.name);
        CHECK(is_hop_by_hop(Field{row.name, "", field_id(row.name)}) == row.want);
    }
}

TEST_CASE("the protocol to switch to is the first that is no HTTP and no TLS")
{
    CHECK(upgrade_protocol("websocket") == "websocket");
    CHECK(upgrade_protocol("H2C, foo/1, websocket") == "foo/1");
    for (const std::string_view none : {"", "h2c", "h2", "HTTP/2.0", "http/1.1", "TLS/1.0", "h2c,TLS/1.3"}) {
        CAPTURE(none);
        CHECK(upgrade_protocol(none).empty());
    }
}

TEST_CASE("fields that pretend another sender, target or method are known in any case, also with underscores")
{
    for (const std::string_view name :
         {"X-Forwarded-For", "x-forwarded-anything", "X_Forwarded_Host", "Forwarded", "X-Real-IP", "X-Original-URL",
          "X-Rewrite-Url", "X-HTTP-Method-Override", "x_http_method", "True-Client-IP", "Proxy", "HTTP_HOST",
          "Content_Length", "accept_language", "X_Request_ID"}) {
        CAPTURE(name);
        CHECK(is_override(name));
    }
    for (const std::string_view name : {"Host", "X-Forwarding", "X-Request-ID", "my_own", "Content-Length",
                                        "Accept-Language", "Accept", "X-Real-IPs", "Forwarded-X", "X"}) {
        CAPTURE(name);
        CHECK_FALSE(is_override(name));
    }
}
