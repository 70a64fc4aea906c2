// RFC 9110 §13 and RFC 9111 §3.2: conditional requests, and what a 304 changes.
#include "rules/http/conditional.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;

namespace {

using Lines = std::initializer_list<std::pair<std::string_view, std::string_view>>;

Fields fields_of(Lines lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

constexpr auto before = "Wed, 01 Jul 2026 11:59:59 GMT";
constexpr auto noon = "Wed, 01 Jul 2026 12:00:00 GMT";
constexpr auto after = "Wed, 01 Jul 2026 12:00:01 GMT";

}  // namespace

TEST_CASE("RFC 9110 13.2.2: preconditions in their order, against a response with ETag and Last-Modified")
{
    struct Row {
        std::string why;
        Fields request;
        Precondition want;
    };
    const auto proceed = Precondition::proceed, same = Precondition::not_modified;
    const Row rows[] = {
        {"no condition", fields_of({}), proceed},
        {"the tag", fields_of({{"If-None-Match", "\"a\""}}), same},
        {"weak comparison", fields_of({{"If-None-Match", "W/\"a\""}}), same},
        {"any", fields_of({{"If-None-Match", "*"}}), same},
        {"in a list", fields_of({{"If-None-Match", "\"b\", \"a\""}}), same},
        {"on a second line", fields_of({{"If-None-Match", "\"b\""}, {"If-None-Match", "\"a\""}}), same},
        {"another tag", fields_of({{"If-None-Match", "\"b\""}}), proceed},
        {"tags have case", fields_of({{"If-None-Match", "\"A\""}}), proceed},
        {"a part of another tag", fields_of({{"If-None-Match", "\"b, \"a\"\""}}), proceed},
        {"without quotes it is another tag", fields_of({{"If-None-Match", "a"}}), proceed},
        {"empty", fields_of({{"If-None-Match", ""}}), proceed},
        {"not modified since", fields_of({{"If-Modified-Since", noon}}), same},
        {"not modified since later", fields_of({{"If-Modified-Since", after}}), same},
        {"modified since", fields_of({{"If-Modified-Since", before}}), proceed},
        {"no date: ignored", fields_of({{"If-Modified-Since", "yesterday"}}), proceed},
        {"twice: ignored", fields_of({{"If-Modified-Since", noon}, {"If-Modified-Since", noon}}), proceed},
        {"a tag that differs beats a date that does not",
         fields_of({{"If-None-Match", "\"b\""}, {"If-Modified-Since", noon}}), proceed},
        {"a tag that is the same beats a date that is not",
         fields_of({{"If-None-Match", "\"a\""}, {"If-Modified-Since", before}}), same},
        {"If-Match is not for a cache", fields_of({{"If-Match", "\"b\""}}), proceed},
        {"nor is If-Unmodified-Since", fields_of({{"If-Unmodified-Since", before}}), proceed},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK((evaluate_preconditions(row.request, "\"a\"", noon, after, {}) == row.want));
    }
}

TEST_CASE("a response without validators")
{
    const auto evaluate = [](Lines request) { return evaluate_preconditions(fields_of(request), "", "", noon, {}); };
    CHECK((evaluate({{"If-None-Match", "\"a\""}}) == Precondition::proceed));
    CHECK((evaluate({{"If-None-Match", "\"\""}}) == Precondition::proceed));
    CHECK((evaluate({{"If-None-Match", "*"}}) == Precondition::not_modified));
    // RFC 9111 §4.3.2: Date stands in for Last-Modified.
    CHECK((evaluate({{"If-Modified-Since", noon}}) == Precondition::not_modified));
    CHECK((evaluate({{"If-Modified-Since", before}}) == Precondition::proceed));
    CHECK((evaluate_preconditions(fields_of({{"If-Modified-Since", noon}}), "", "", "", {}) == Precondition::proceed));
}

TEST_CASE("inside a tag a comma and a backslash are bytes like any other")
{
    const auto same = [](std::string_view condition, std::string_view etag) {
        const Fields request = fields_of({{"If-None-Match", condition}});
        return evaluate_preconditions(request, etag, "", "", {}) == Precondition::not_modified;
    };
    CHECK(same("\"x,y\"", "\"x,y\""));
    CHECK(same("\"b\\\", \"a\"", "\"a\""));
    CHECK(same("\"a,b\",\"c\"", "W/\"c\""));
    CHECK_FALSE(same("\"a,b\"", "\"a"));
    CHECK_FALSE(same("\"open", "\"open\""));
    CHECK(same("W/\"x\" , , W/\"y\"", "\"y\""));
    CHECK(same("plain, \"b\"", "plain"));
}

TEST_CASE("RFC 9110 8.8.3.2: weak comparison looks at the opaque part only")
{
    CHECK(weakly_equal("W/\"1\"", "W/\"1\""));
    CHECK(weakly_equal("W/\"1\"", "\"1\""));
    CHECK(weakly_equal("\"1\"", "\"1\""));
    CHECK_FALSE(weakly_equal("W/\"1\"", "W/\"2\""));
    CHECK_FALSE(weakly_equal("w/\"1\"", "\"1\""));
    CHECK_FALSE(weakly_equal("", ""));
}

TEST_CASE("RFC 9111 3.2: a 304 replaces what it says, and leaves what belongs to the stored body")
{
    const Fields stored = fields_of({{"Content-Type", "text/plain"},
                                     {"Content-Length", "5"},
                                     {"Content-Encoding", "gzip"},
                                     {"ETag", "\"a\""},
                                     {"X-Many", "1"},
                                     {"X-Many", "2"},
                                     {"Cache-Control", "max-age=1"},
                                     {"Age", "7"},
                                     {"Connection", "X-Old"},
                                     {"X-Old", "gone"}});
    const Fields not_modified = fields_of({{"Date", "now"},
                                           {"cache-control", "max-age=60"},
                                           {"x-many", "3"},
                                           {"Content-Length", "0"},
                                           {"Content-Encoding", "identity"},
                                           {"Content-Range", "bytes 0-1/2"},
                                           {"Connection", "close, X-Hop"},
                                           {"X-Hop", "gone"},
                                           {"Set-Cookie", "sid=1"},
                                           {"Age", "9"}});
    CHECK(merge_not_modified(stored, not_modified) ==
          "Content-Type: text/plain\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\nETag: \"a\"\r\n"
          "Date: now\r\ncache-control: max-age=60\r\nx-many: 3\r\n");
    CHECK(merge_not_modified(fields_of({{"A", "b"}}), Fields{}) == "A: b\r\n");
}

TEST_CASE("a field that the 304 may not bring does not push the stored one out")
{
    const Fields stored = fields_of({{"Set-Cookie", "a=b"}, {"X-Kept", "1"}});
    const Fields not_modified = fields_of({{"Set-Cookie", "c=d"}, {"Connection", "X-Kept"}, {"X-Kept", "2"}});
    CHECK(merge_not_modified(stored, not_modified) == "Set-Cookie: a=b\r\nX-Kept: 1\r\n");
}

TEST_CASE("RFC 9111 4.3.4: which 304 is about the stored response")
{
    constexpr auto strong = "\"a\"", weak = "W/\"a\"", other = "\"b\"", weak_other = "W/\"b\"";
    struct Row {
        std::string why;
        Fields not_modified;
        std::string_view etag, last_modified;
        bool want;
    };
    const Row rows[] = {
        {"the same strong tag", fields_of({{"ETag", strong}}), strong, noon, true},
        {"another strong tag", fields_of({{"ETag", other}}), strong, noon, false},
        {"a strong tag where a weak one is stored", fields_of({{"ETag", strong}}), weak, "", false},
        {"a strong tag where none is stored", fields_of({{"ETag", strong}}), "", noon, false},
        {"another strong tag, the same date", fields_of({{"ETag", other}, {"Last-Modified", noon}}), strong, noon,
         false},
        {"the same weak tag", fields_of({{"ETag", weak}}), weak, "", true},
        {"a weak tag that matches a strong one", fields_of({{"ETag", weak}}), strong, "", true},
        {"another weak tag", fields_of({{"ETag", weak_other}}), strong, "", false},
        {"a weak tag and no stored one, the same date", fields_of({{"ETag", weak}, {"Last-Modified", noon}}), "", noon,
         true},
        {"a weak tag and no stored one", fields_of({{"ETag", weak}}), "", noon, false},
        {"the same date", fields_of({{"Last-Modified", noon}}), "", noon, true},
        {"the same date beside a tag", fields_of({{"Last-Modified", noon}}), strong, noon, true},
        {"another date", fields_of({{"Last-Modified", after}}), strong, noon, false},
        {"a date where only a tag is stored", fields_of({{"Last-Modified", noon}}), strong, "", false},
        {"no validator: it answers what was asked", fields_of({{"Date", noon}}), strong, noon, true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(identifies(row.not_modified, row.etag, row.last_modified) == row.want);
    }
}

TEST_CASE("RFC 9110 15.4.5: a 304 repeats six fields")
{
    int count = 0;
    for (int id = 0; id <= static_cast<int>(FieldId::x_request_id); ++id)
        count += belongs_in_not_modified(static_cast<FieldId>(id));
    CHECK(count == 6);
    CHECK(belongs_in_not_modified(FieldId::etag));
    CHECK(belongs_in_not_modified(FieldId::vary));
    CHECK_FALSE(belongs_in_not_modified(FieldId::last_modified));
    CHECK_FALSE(belongs_in_not_modified(FieldId::content_length));
}

TEST_CASE("a HEAD describes the stored response by what it says of tag, date and length (RFC 9111 section 4.3.5)")
{
    const auto describes_stored = [](const std::string& fields) {
        const std::string bytes = "HTTP/1.1 200 OK\r\n" + fields + "\r\n";
        ResponseHead head;
        REQUIRE(scan_response(bytes, {}, true, head) == Scan::ok);
        return describes(head, R"("v1")", "Mon, 07 Sep 2026 10:00:00 GMT", 5);
    };
    CHECK(describes_stored(""));
    CHECK(describes_stored("ETag: \"v1\"\r\n"));
    CHECK(describes_stored("ETag: \"v1\"\r\nLast-Modified: Mon, 07 Sep 2026 10:00:00 GMT\r\nContent-Length: 5\r\n"));
    CHECK_FALSE(describes_stored("ETag: W/\"v1\"\r\n"));
    CHECK_FALSE(describes_stored("ETag: \"v2\"\r\n"));
    CHECK_FALSE(describes_stored("Last-Modified: Mon, 07 Sep 2026 10:00:01 GMT\r\n"));
    CHECK_FALSE(describes_stored("Content-Length: 6\r\n"));
}
