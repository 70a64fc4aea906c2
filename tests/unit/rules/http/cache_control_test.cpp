// RFC 9111 §5.2: Cache-Control, also when it is badly written.
#include "rules/http/cache_control.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

CacheControl parse(std::string_view value)
{
    CacheControl cc;
    parse_cache_control(value, cc);
    return cc;
}

}  // namespace

TEST_CASE("every directive is found, in any case, among others that nobody knows")
{
    const CacheControl cc = parse(
        "No-Store, no-cache, PRIVATE, public, must-revalidate, proxy-revalidate, must-understand, no-transform, "
        "immutable, only-if-cached, max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, min-fresh=5, "
        "max-stale=6, x-unknown, y=\"no-store, z\"");
    CHECK(cc.present);
    CHECK(cc.no_store);
    CHECK(cc.no_cache);
    CHECK(cc.is_private);
    CHECK(cc.is_public);
    CHECK(cc.must_revalidate);
    CHECK(cc.proxy_revalidate);
    CHECK(cc.must_understand);
    CHECK(cc.no_transform);
    CHECK(cc.immutable);
    CHECK(cc.only_if_cached);
    CHECK((cc.max_age == 1s));
    CHECK((cc.s_maxage == 2s));
    CHECK((cc.stale_while_revalidate == 3s));
    CHECK((cc.stale_if_error == 4s));
    CHECK((cc.min_fresh == 5s));
    CHECK((cc.max_stale == 6s));
    CHECK_FALSE(cc.max_stale_any);
}

TEST_CASE("what is not said is not there")
{
    const CacheControl cc = parse("");
    CHECK(cc.present);
    CHECK_FALSE(cc.no_store);
    CHECK_FALSE(cc.max_age.has_value());
    CHECK_FALSE(parse_cache_control(Fields{}).present);
    CHECK_FALSE(parse("no-stores, xno-store, no store").no_store);
    CHECK_FALSE(parse("ext=\"no-store\"").no_store);
    CHECK_FALSE(parse("ext=\"a \\\" no-store\"").no_store);
    CHECK(parse("max-stale").max_stale_any);
}

TEST_CASE("RFC 9111 1.2.2 and 4.2.1: a lifetime that cannot be read is 0, one that is too large is 2^31")
{
    struct Row {
        std::string why, text;
        std::optional<Seconds> want;
    };
    const Row rows[] = {
        {"plain", "max-age=60", 60s},
        {"zero", "max-age=0", 0s},
        {"leading zeros", "max-age=0060", 60s},
        {"quoted, which a recipient should accept", "max-age=\"60\"", 60s},
        {"the largest", "max-age=2147483648", 2147483648s},
        {"above it", "max-age=2147483649", 2147483648s},
        {"above 64 bits", "max-age=99999999999999999999999", 2147483648s},
        {"negative", "max-age=-1", 0s},
        {"signed", "max-age=+1", 0s},
        {"fraction", "max-age=1.5", 0s},
        {"unit", "max-age=60s", 0s},
        {"empty", "max-age=", 0s},
        {"empty quotes", "max-age=\"\"", 0s},
        {"no argument", "max-age", 0s},
        {"space before the number", "max-age= 60", 0s},
        {"single quotes", "max-age='60'", 0s},
        {"space before the equals sign", "max-age =60", 0s},
        {"a parameter behind it", "max-age=60;x", 0s},
        {"a word behind it", "max-age=60 x", 0s},
        {"space inside the quotes", "max-age=\" 60\"", 0s},
        {"hexadecimal", "max-age=0x3c", 0s},
        {"twice the same, once quoted", "max-age=60, max-age=\"60\"", 60s},
        {"twice, one of them unreadable", "max-age=60, max-age=x", 0s},
        {"inside the quotes of something unknown", "foo=\"max-age=60\"", {}},
        {"inside quotes with a comma", "foo=\"bar, max-age=60\"", {}},
        {"behind a quoted comma", "foo=\"a,b\", max-age=60", 60s},
        {"behind an escaped quote", "foo=\"a\\\", b\", max-age=60", 60s},
        {"mixed case", "MaX-aGe=60", 60s},
        {"empty elements around it", ", ,max-age=60,,", 60s},
        {"tabs around it", "public,\tmax-age=60\t", 60s},
        {"twice the same", "max-age=60, max-age=60", 60s},
        {"twice, different", "max-age=60, max-age=120", 0s},
        {"three times, different", "max-age=60, max-age=120, max-age=120", 0s},
        {"another directive that ends alike", "x-max-age=60", {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK((parse(row.text).max_age == row.want));
    }
}

TEST_CASE("private and no-cache may speak of some fields only")
{
    const CacheControl named = parse("private=\"Set-Cookie, X-User\", no-cache=Set-Cookie");
    CHECK_FALSE(named.is_private);
    CHECK((named.private_fields == std::vector<std::string>{"set-cookie", "x-user"}));
    CHECK_FALSE(named.no_cache);
    CHECK((named.no_cache_fields == std::vector<std::string>{"set-cookie"}));
    CHECK(parse("private=\"\"").is_private);
    CHECK(parse("private=").is_private);
    CHECK(parse("private=\"a\", private").is_private);
}

TEST_CASE("a quote that never closes, or closes too early, may hide anything and counts as no-store")
{
    CHECK(parse("max-age=60, private=\"a, no-store").no_store);
    CHECK(parse("max-age=\"60, no-store").no_store);
    CHECK(parse("max-age=\"60\"x").no_store);
    CHECK(parse("\"max-age=60").no_store);
    CHECK(parse("private=\"").no_store);
    CHECK(parse("max-age=60, x=6\", no-store").no_store);
    CHECK(parse("x= \"a, no-store").no_store);
    CHECK(parse("a\"b=\"c\"").no_store);
    CHECK_FALSE(parse("x= \"a, b\"").no_store);
}

TEST_CASE("all lines of the field count, and only of that field")
{
    Fields fields;
    fields.all = {{"Cache-Control", "max-age=60", FieldId::cache_control},
                  {"CDN-Cache-Control", "max-age=5", FieldId::cdn_cache_control},
                  {"cache-control", "no-store", FieldId::cache_control}};
    CHECK(parse_cache_control(fields).no_store);
    CHECK((parse_cache_control(fields).max_age == 60s));
    CHECK((parse_cache_control(fields, FieldId::cdn_cache_control).max_age == 5s));
}
