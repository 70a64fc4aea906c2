// RFC 9111 §4.1: which requests may share a response.
#include "rules/http/vary.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;

namespace {

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

std::string accept_encoding(std::string_view value)
{
    return vary_values(VarySpec{false, {"accept-encoding"}}, fields_of({{"Accept-Encoding", value}}));
}

}  // namespace

TEST_CASE("Vary names request fields: in lower case, sorted, each once, over all lines")
{
    const VarySpec spec =
        parse_vary(fields_of({{"Vary", "Origin, accept-encoding"}, {"X", "y"}, {"vary", "ACCEPT-ENCODING,,"}}));
    CHECK_FALSE(spec.any);
    CHECK((spec.names == std::vector<std::string>{"accept-encoding", "origin"}));
    CHECK(parse_vary(fields_of({})).names.empty());
    CHECK(parse_vary(fields_of({{"Vary", " , "}})).names.empty());
}

TEST_CASE("a star anywhere in Vary, or a name that cannot be one, fits no second request")
{
    CHECK(parse_vary(fields_of({{"Vary", "*"}})).any);
    CHECK(parse_vary(fields_of({{"Vary", "Origin, *"}})).any);
    CHECK(parse_vary(fields_of({{"Vary", "Origin"}, {"Vary", "*"}})).any);
    CHECK(parse_vary(fields_of({{"Vary", "Accept Encoding"}})).any);
    CHECK(parse_vary(fields_of({{"Vary", "Origin, *"}})).names.empty());
}

TEST_CASE("what names somebody is compared byte by byte")
{
    for (const std::string name : {"authorization", "cookie", "user-agent"}) {
        const VarySpec spec{false, {name}};
        CHECK(vary_values(spec, fields_of({{name, "a=1,2"}})) != vary_values(spec, fields_of({{name, "a=1, 2"}})));
    }
}

TEST_CASE("values that mean the same give one text, values that do not give two")
{
    const VarySpec spec{false, {"accept", "x-a"}};
    const auto text = [&spec](std::initializer_list<std::pair<std::string_view, std::string_view>> lines) {
        return vary_values(spec, fields_of(lines));
    };
    CHECK(text({}) == "accept\nx-a\n");
    CHECK(text({{"Accept", "Text/HTML, */*"}}) == text({{"accept", "text/html,*/*"}}));
    CHECK(text({{"Accept", "a"}, {"Accept", "b"}}) == text({{"Accept", "a, b"}}));
    CHECK(text({{"X-A", "1"}, {"Accept", "a"}, {"X-A", "2"}}) == text({{"Accept", "a"}, {"x-a", "1, 2"}}));
    CHECK(text({{"Accept", "a, b"}}) != text({{"Accept", "b, a"}}));
    CHECK(text({{"X-A", ""}}) != text({}));
    CHECK(text({{"X-A", "b"}}) != text({{"X-A", "B"}}));
    CHECK(text({{"X-A", "b,c"}}) == text({{"X-A", "b\t,  c"}}));
    CHECK(text({{"X-A", "b c"}}) != text({{"X-A", "b  c"}}));
    CHECK(text({{"X-A", "\"b,c\""}}) != text({{"X-A", "\"b, c\""}}));
    CHECK(text({{"X-A", "\"b\\\", c\", d"}}) != text({{"X-A", "\"b\\\",c\", d"}}));
    CHECK(text({{"X-A", "\"b\\\", c\", d"}}) == text({{"X-A", "\"b\\\", c\",d"}}));
    CHECK(text({{"Accept", "x"}}) != text({{"X-A", "x"}}));
    CHECK(text({{"Accept", "a;b=\"C d\""}}) != text({{"Accept", "a;b=\"c d\""}}));
    CHECK(text({{"Accept", "text/html; q=0.5 ,a/b"}}) == text({{"Accept", "Text/html;q=0.5, A/b"}}));
    CHECK(text({{"Accept", "a/b;p=X"}}) != text({{"Accept", "a/b;p=x"}}));
    CHECK(text({{"Accept", "text/ html"}}) != text({{"Accept", "text/html"}}));
    CHECK(text({{"X-B", "1"}}) == text({}));
}

TEST_CASE("a path of several spellings can be varied by, next to fields")
{
    VarySpec spec{false, {"accept"}};
    vary_by_path(spec);
    const Fields fields = fields_of({{"Accept", "a"}});
    CHECK(vary_values(spec, fields, "/a@b") != vary_values(spec, fields, "/a%40b"));
    CHECK(vary_values(spec, fields, "/a@b") == vary_values(spec, fields, "/a@b"));
    CHECK(vary_values(spec, fields, "/a") != vary_values(VarySpec{false, {"accept"}}, fields, "/a"));
}

TEST_CASE("Accept-Encoding is reduced to the codings a client accepts")
{
    struct Row {
        std::string why, value, want;
    };
    const Row rows[] = {
        {"a browser", "gzip, deflate, br", "br,deflate,gzip"},
        {"weights that say the same", "br;q=1.0, deflate;q=1, gzip;q=1.000", "br,deflate,gzip"},
        {"preferences are part of the meaning", "br;q=1.0, gzip;q=0.8, deflate;q=0.1", "br>gzip>deflate"},
        {"in any order and at any distance", "deflate;q=0.2, br, gzip;q=0.5", "br>gzip>deflate"},
        {"the least-liked anything", "gzip, *;q=0.1", "gzip>*"},
        {"identity before gzip", "gzip;q=0.5, identity", "identity>gzip"},
        {"identity after gzip is what it is unsaid", "gzip, identity;q=0.5", "gzip"},
        {"no case", "GZIP", "gzip"},
        {"an old name", "x-gzip", "gzip"},
        {"identity is always acceptable", "gzip, identity", "gzip"},
        {"nothing but identity", "identity", ""},
        {"empty", "", ""},
        {"refused: some apps look for the word alone", "gzip, br;q=0", "gzip,br;q=0"},
        {"refused, three zeros", "gzip;q=0.000, br", "br,gzip;q=0"},
        {"the least weight is not zero", "gzip;q=0.001", "gzip"},
        {"identity refused", "gzip, identity;q=0", "gzip,identity;q=0"},
        {"everything else refused", "gzip, *;q=0", "gzip,identity;q=0"},
        {"everything else refused, but identity", "gzip, identity, *;q=0", "gzip"},
        {"anything", "*", "*"},
        {"anything but brotli", "*, br;q=0", "*,br;q=0"},
        {"a coding nobody here knows may still be what the origin sends", "dcb, gzip", "dcb,gzip"},
        {"twice", "gzip, gzip;q=1.0", "gzip"},
        {"twice, with different weights", "gzip, gzip;q=0.5", "gzip>gzip"},
        {"an unreadable weight leaves the text alone", "gzip;q=2, br", "gzip;q=2, br"},
        {"a parameter that is no weight", "gzip;x=1", "gzip;x=1"},
        {"a coding that is no token", "g zip", "g zip"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(accept_encoding(row.value) == "accept-encoding:" + row.want + "\n");
    }
}
