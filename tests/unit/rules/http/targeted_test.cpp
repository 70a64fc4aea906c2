// RFC 9213: Cache-Control that is aimed at this cache.
#include "rules/http/targeted.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

constexpr auto larder_field = "Larder-Cache-Control", cdn = "CDN-Cache-Control", general = "Cache-Control";

}  // namespace

TEST_CASE(
    "RFC 9213 2.2: the first targeted field that is valid and not empty decides, and Cache-Control says nothing then")
{
    struct Row {
        std::string why;
        Fields fields;
        PolicySource source;
        std::optional<Seconds> max_age;
    };
    using enum PolicySource;
    const Row rows[] = {
        {"only Cache-Control", fields_of({{general, "max-age=1"}}), cache_control, 1s},
        {"none at all", fields_of({}), cache_control, {}},
        {"CDN before Cache-Control", fields_of({{general, "max-age=1"}, {cdn, "max-age=2"}}), cdn_cache_control, 2s},
        {"ours before CDN", fields_of({{cdn, "max-age=2"}, {larder_field, "max-age=3"}}), larder_cache_control, 3s},
        {"names have no case", fields_of({{"cdn-cache-CONTROL", "max-age=2"}}), cdn_cache_control, 2s},
        {"empty: the next", fields_of({{larder_field, ""}, {cdn, "max-age=2"}}), cdn_cache_control, 2s},
        {"empty: Cache-Control", fields_of({{cdn, ""}, {general, "max-age=1"}}), cache_control, 1s},
        {"no dictionary: the next", fields_of({{larder_field, "max-age=3,"}, {cdn, "max-age=2"}}), cdn_cache_control,
         2s},
        {"no dictionary: Cache-Control", fields_of({{cdn, "max-age=60&"}, {general, "max-age=1"}}), cache_control, 1s},
        {"upper case is no key", fields_of({{cdn, "Max-Age=2"}, {general, "max-age=1"}}), cache_control, 1s},
        {"spaces around '='", fields_of({{cdn, "max-age =2"}, {general, "max-age=1"}}), cache_control, 1s},
        {"single quotes", fields_of({{cdn, "max-age='2'"}, {general, "max-age=1"}}), cache_control, 1s},
        {"only what nobody knows is valid all the same",
         fields_of({{cdn, "foo"}, {general, "max-age=1"}}),
         cdn_cache_control,
         {}},
        {"lines make one dictionary", fields_of({{cdn, "foo"}, {cdn, "max-age=2"}}), cdn_cache_control, 2s},
        {"one bad line spoils all", fields_of({{cdn, "max-age=2"}, {cdn, "&"}, {general, "max-age=1"}}), cache_control,
         1s},
        {"of a directive that stands twice the last counts", fields_of({{cdn, "max-age=2, max-age=4"}}),
         cdn_cache_control, 4s},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const CachePolicy policy = cache_policy(row.fields);
        CHECK(word(policy.source) == word(row.source));
        CHECK((policy.directives.max_age == row.max_age));
    }
}

TEST_CASE("RFC 9213 2.1: a directive with a value of the wrong type is left out, the others of the field are not")
{
    struct Row {
        std::string why, value;
        std::optional<Seconds> want;
    };
    const Row rows[] = {
        {"an integer", "max-age=60", 60s},
        {"0", "max-age=0", 0s},
        {"a decimal", "max-age=1.5", {}},
        {"a string", "max-age=\"60\"", {}},
        {"a token", "max-age=sixty", {}},
        {"no value", "max-age", {}},
        {"a list", "max-age=(60)", {}},
        {"below 0 is no lifetime", "max-age=-1", 0s},
        {"the largest integer", "max-age=999999999999999", 2147483648s},
        {"parameters are ignored", "max-age=60;x=1;y", 60s},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const std::string value = row.value + ", private";
        const CachePolicy policy = cache_policy(fields_of({{cdn, value}, {general, "max-age=1"}}));
        CHECK((policy.source == PolicySource::cdn_cache_control));
        CHECK((policy.directives.max_age == row.want));
        CHECK(policy.directives.is_private);
    }
    for (const auto value : {"no-store=5", "no-store=?0", "no-store=\"x\"", "no-store=()"}) {
        CAPTURE(value);
        CHECK_FALSE(cache_policy(fields_of({{cdn, value}})).directives.no_store);
    }
    CHECK(cache_policy(fields_of({{cdn, "no-store"}})).directives.no_store);
    CHECK(cache_policy(fields_of({{cdn, "no-store=?1;a"}})).directives.no_store);
}

TEST_CASE("RFC 9213 2.2: every directive of responses that Cache-Control has")
{
    const CacheControl cc =
        cache_policy(fields_of({{larder_field,
                                 "s-maxage=2, no-cache, public, must-revalidate, proxy-revalidate, must-understand, "
                                 "no-transform, immutable, stale-while-revalidate=3, stale-if-error=4"}}))
            .directives;
    CHECK((cc.s_maxage == 2s));
    CHECK(cc.no_cache);
    CHECK(cc.is_public);
    CHECK(cc.must_revalidate);
    CHECK(cc.proxy_revalidate);
    CHECK(cc.must_understand);
    CHECK(cc.no_transform);
    CHECK(cc.immutable);
    CHECK((cc.stale_while_revalidate == 3s));
    CHECK((cc.stale_if_error == 4s));

    const CacheControl named =
        cache_policy(fields_of({{cdn, "private=\"X-A, x-b\", no-cache=\"Set-Cookie\""}})).directives;
    CHECK_FALSE(named.is_private);
    CHECK((named.private_fields == std::vector<std::string>{"x-a", "x-b"}));
    CHECK((named.no_cache_fields == std::vector<std::string>{"set-cookie"}));
    CHECK(cache_policy(fields_of({{cdn, "private=\"\""}})).directives.is_private);
}
