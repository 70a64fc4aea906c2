#include "rules/http/range.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace larder::rules;

namespace {

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

/// `0-4,10-19`, `whole` or `416`.
std::string select(std::string_view range, std::uint64_t size)
{
    const SelectedRanges selected = select_ranges(fields_of({{"Range", range}}), size);
    if (selected.kind == SelectedRanges::Kind::whole) return "whole";
    if (selected.kind == SelectedRanges::Kind::unsatisfiable) return "416";
    std::string text;
    for (const ByteRange& one : selected.ranges)
        text += (text.empty() ? "" : ",") + std::to_string(one.first) + "-" + std::to_string(one.last);
    return text;
}

}  // namespace

TEST_CASE("one range: from, to, to the end, from the end (RFC 9110 section 14.1.2)")
{
    CHECK(select("bytes=0-4", 10) == "0-4");
    CHECK(select("bytes=5-", 10) == "5-9");
    CHECK(select("bytes=9-9", 10) == "9-9");
    CHECK(select("bytes=0-99", 10) == "0-9");
    CHECK(select("bytes=-3", 10) == "7-9");
    CHECK(select("bytes=-99", 10) == "0-9");
    CHECK(select("Bytes=0-0", 10) == "0-0");
    CHECK(select("bytes=2-99999999999999999999999", 10) == "2-9");
    CHECK(select("bytes= 1-2 ,", 10) == "1-2");
}

TEST_CASE("a range behind the end, or the last 0 bytes, cannot be satisfied (RFC 9110 section 15.5.17)")
{
    CHECK(select("bytes=10-", 10) == "416");
    CHECK(select("bytes=10-20", 10) == "416");
    CHECK(select("bytes=-0", 10) == "416");
    CHECK(select("bytes=99999999999999999999999-", 10) == "416");
    CHECK(select("bytes=10-,5-6", 10) == "5-6");
}

TEST_CASE("another unit, what is malformed and what stands twice is ignored (RFC 9110 section 14.2)")
{
    for (const char* range :
         {"", "bytes", "bytes=", "bytes=,", "bytes=a-b", "bytes=4-2", "bytes=-", "bytes=1", "bytes=+1-2", "bytes=1-2-3",
          "bytes=--1", "bytes=0x1-2", "items=0-4", "bytes 0-4", "bytes=1-2,x", "bytes=1 - 2"}) {
        CAPTURE(std::string(range));
        CHECK(select(range, 10) == "whole");
    }
    CHECK(select_ranges(fields_of({{"Range", "bytes=0-1"}, {"Range", "bytes=0-1"}}), 10).kind ==
          SelectedRanges::Kind::whole);
    CHECK(select_ranges(fields_of({}), 10).kind == SelectedRanges::Kind::whole);
    CHECK(select("bytes=-1", 0) == "whole");
}

TEST_CASE("several ranges stay in the order asked for; those that overlap or nearly touch become one")
{
    CHECK(select("bytes=5000-5001,0-1", 10'000) == "5000-5001,0-1");
    CHECK(select("bytes=0-10,5-20", 10'000) == "0-20");
    CHECK(select("bytes=11-20,0-10", 10'000) == "0-20");
    CHECK(select("bytes=0-0,-1", 10) == "0-9");
    CHECK(select("bytes=5000-,0-1,4000-5500", 10'000) == "0-1,4000-9999");
}

TEST_CASE("a flood of ranges is ignored, and no answer is longer than the whole and its heads")
{
    std::string flood = "bytes=0-0";
    for (int i = 1; i < 40; ++i) flood += "," + std::to_string(i * 1000) + "-" + std::to_string(i * 1000);
    CHECK(select(flood, 1'000'000) == "whole");
    std::string same = "bytes=0-";
    for (int i = 1; i < 30; ++i) same += ",0-";
    CHECK(select(same, 1'000'000) == "0-999999");
}

TEST_CASE("If-Range holds by strong comparison, of a tag or of an old enough date (RFC 9110 section 13.1.5)")
{
    const WallTime now{std::chrono::seconds{1'763'722'000}};
    const std::string_view modified = "Thu, 20 Nov 2025 00:00:00 GMT", later = "Thu, 20 Nov 2025 00:00:05 GMT";
    const auto holds = [&](std::string_view value, std::string_view etag, std::string_view last_modified,
                           std::string_view date) {
        return if_range_holds(fields_of({{"If-Range", value}}), etag, last_modified, date, now);
    };
    CHECK(if_range_holds(fields_of({}), "", "", "", now));
    CHECK(holds(R"("a")", R"("a")", "", ""));
    CHECK_FALSE(holds(R"("a")", R"("b")", "", ""));
    CHECK_FALSE(holds(R"("a")", R"(W/"a")", "", ""));
    CHECK_FALSE(holds(R"(W/"a")", R"(W/"a")", "", ""));
    CHECK_FALSE(holds(R"("a")", "", "", ""));
    CHECK(holds(modified, "", modified, later));
    CHECK_FALSE(holds(modified, "", modified, modified));
    CHECK_FALSE(holds(later, "", modified, later));
    CHECK_FALSE(holds("nonsense", R"("a")", modified, later));
    CHECK_FALSE(if_range_holds(fields_of({{"If-Range", R"("a")"}, {"If-Range", R"("a")"}}), R"("a")", "", "", now));
}

TEST_CASE("Content-Range: the place of a part, or nothing (RFC 9110 section 14.4)")
{
    const auto part = parse_content_range("bytes 2-4/10");
    REQUIRE(part);
    CHECK(part->range.first == 2);
    CHECK(part->range.last == 4);
    CHECK(part->size == 10);
    CHECK_FALSE(part->is_whole());
    CHECK(parse_content_range("Bytes 0-9/10")->is_whole());
    std::string line;
    append_content_range(line, *part);
    CHECK(line == "Content-Range: bytes 2-4/10\r\n");
    for (const std::string_view bad :
         {"", "bytes", "bytes ", "bytes 2-4/*", "bytes */10", "bytes 4-2/10", "bytes 2-10/10", "bytes 2-4",
          "items 2-4/10", "bytes=2-4/10", "bytes -4/10", "bytes 2-/10", "bytes +2-4/10", "bytes 2-4/10 ",
          "bytes 2 -4/10", "bytes 2-4/99999999999999999999", "bytes 2/4-10"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_content_range(bad));
    }
}

TEST_CASE("two parts that touch or overlap become one, in either order; with a gap, or of another size, they do not")
{
    const std::string whole = "0123456789";
    const auto part = [&](std::uint64_t first, std::uint64_t last) { return ContentRange{{first, last}, 10}; };
    const auto bytes = [&](const ContentRange& of) { return whole.substr(of.range.first, of.range.size()); };
    struct Row {
        ContentRange a, b, joined;
    };
    for (const Row& row : {Row{part(0, 3), part(4, 6), part(0, 6)}, Row{part(0, 5), part(4, 6), part(0, 6)},
                           Row{part(0, 9), part(4, 6), part(0, 9)}, Row{part(4, 6), part(4, 8), part(4, 8)},
                           Row{part(5, 9), part(0, 4), part(0, 9)}}) {
        for (const bool swapped : {false, true}) {
            const ContentRange &a = swapped ? row.b : row.a, &b = swapped ? row.a : row.b;
            std::string joined;
            const auto place = join_parts(a, bytes(a), b, bytes(b), joined);
            REQUIRE(place);
            CHECK(place->range.first == row.joined.range.first);
            CHECK(place->range.last == row.joined.range.last);
            CHECK(joined == bytes(row.joined));
        }
    }
    std::string joined;
    CHECK_FALSE(join_parts(part(0, 3), "0123", part(5, 6), "56", joined));
    CHECK_FALSE(join_parts(part(0, 3), "0123", {{4, 6}, 11}, "456", joined));
}

TEST_CASE("one range is one, whatever it says")
{
    CHECK(asks_one_range(fields_of({{"Range", "bytes=0-4"}})));
    CHECK(asks_one_range(fields_of({{"Range", "nonsense"}})));
    CHECK_FALSE(asks_one_range(fields_of({{"Range", "bytes=0-4,6-7"}})));
    CHECK_FALSE(asks_one_range(fields_of({{"Range", "bytes=0-4"}, {"Range", "bytes=0-4"}})));
    CHECK_FALSE(asks_one_range(fields_of({})));
}
