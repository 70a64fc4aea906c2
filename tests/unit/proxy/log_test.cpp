#include "proxy/observe/log.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>

#include "proxy/observe/escape.hpp"

using namespace larder::proxy;
using larder::config::LogFormat;
using larder::config::LogLevel;

namespace {

// What `action` writes to stderr.
template <class Action>
std::string stderr_of(Action action)
{
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(), &std::fclose};
    REQUIRE(file != nullptr);
    std::fflush(stderr);
    const int kept = ::dup(2);
    ::dup2(::fileno(file.get()), 2);
    action();
    flush_log();
    ::dup2(kept, 2);
    ::close(kept);

    std::string text(static_cast<std::size_t>(::lseek(::fileno(file.get()), 0, SEEK_END)), '\0');
    REQUIRE(::pread(::fileno(file.get()), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return text;
}

constexpr std::string_view time_shape = "0000-00-00T00:00:00.000Z";

// The line's time with every digit as 0.
std::string shape_of_time(std::string_view line)
{
    std::string shape{line.substr(0, time_shape.size())};
    for (char& c : shape)
        if (c >= '0' && c <= '9') c = '0';
    return shape;
}

std::string escaped(std::string_view value, std::size_t limit_bytes = SIZE_MAX)
{
    std::string out;
    append_escaped(out, value, limit_bytes);
    return out;
}

std::string json_string(std::string_view value)
{
    std::string out;
    append_json_string(out, value);
    return out;
}

std::string field(std::string_view value)
{
    std::string out;
    append_text_field(out, "k", value);
    return out;
}

}  // namespace

TEST_CASE("a text line is time, level, event, then key=value")
{
    const std::string line = stderr_of([] {
        start_log({});
        log_event(LogLevel::warn, "store is up",
                  {{"url", std::string_view{"redis://127.0.0.1:6379/0"}},
                   {"why", std::string_view{"it is back"}},
                   {"took_ms", std::int64_t{12}},
                   {"share", 0.5},
                   {"first", false}});
    });
    CAPTURE(line);
    CHECK(shape_of_time(line) == time_shape);
    CHECK(line.substr(time_shape.size()) ==
          " warn store is up url=redis://127.0.0.1:6379/0 why=\"it is back\" took_ms=12 share=0.5 first=false\n");
}

TEST_CASE("a JSON line is one object with typed values")
{
    const std::string line = stderr_of([] {
        start_log({.format = LogFormat::json});
        log_event(LogLevel::error, "store is \"away\"",
                  {{"url", std::string_view{"a\nb\xff"}},
                   {"took_ms", std::int64_t{-3}},
                   {"share", std::numeric_limits<double>::infinity()},
                   {"first", true}});
        start_log({});
    });
    CAPTURE(line);
    REQUIRE(line.find('\n') == line.size() - 1);
    const auto object = boost::json::parse(line.substr(0, line.size() - 1)).as_object();
    CHECK(shape_of_time(std::string_view{object.at("ts").as_string()}) == time_shape);
    CHECK(object.at("level").as_string() == "error");
    CHECK(object.at("msg").as_string() == "store is \"away\"");
    CHECK(object.at("url").as_string() == "a\nb\\xff");
    CHECK(object.at("took_ms").as_int64() == -3);
    CHECK(object.at("share").as_string() == "inf");
    CHECK(object.at("first").as_bool());
}

TEST_CASE("a line below the configured level is not written")
{
    const std::string text = stderr_of([] {
        start_log({.level = LogLevel::warn});
        log_event(LogLevel::info, "ready");
        log_event(LogLevel::debug, "detail");
        start_log({});
    });
    CHECK(text.empty());
}

TEST_CASE("a warning that comes again and again is held back after twenty, and then counted")
{
    const std::string text = stderr_of([] {
        start_log({});
        renew_log_pace();
        for (int i = 0; i < 50; ++i) log_event(LogLevel::warn, "store answered with an error");
        for (int i = 0; i < 50; ++i) log_event(LogLevel::info, "purged by hand");
        log_event(LogLevel::warn, "another warning");
        renew_log_pace();
        log_event(LogLevel::warn, "store answered with an error");
    });
    const auto count = [&text](const std::string& words) {
        int found = 0;
        for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++found;
        return found;
    };
    CHECK(count("Z warn store answered") == 21);
    CHECK(count("purged by hand") == 50);
    CHECK(count("another warning") == 1);
    CHECK(count("log lines were held back line=\"store answered with an error\" count=30") == 1);
}

TEST_CASE("the last 200 events of level info and above are remembered, also those that are not written")
{
    const std::string text = stderr_of([] {
        start_log({.level = LogLevel::error});
        for (std::int64_t i = 0; i < 250; ++i) log_event(LogLevel::info, "counted", {{"i", i}});
        log_event(LogLevel::debug, "detail");
        log_event(LogLevel::warn, "long", {{"value", std::string_view{"\"x\" \n</script>"}}, {"first", true}});
        start_log({});
    });
    CHECK(text.empty());
    const std::vector<std::string> events = recent_events();
    REQUIRE(events.size() == 200);
    const auto newest = boost::json::parse(events[0]).as_object();
    CHECK(shape_of_time(std::string_view{newest.at("ts").as_string()}) == time_shape);
    CHECK(newest.at("level").as_string() == "warn");
    CHECK(newest.at("msg").as_string() == "long");
    CHECK(newest.at("value").as_string() == "\"x\" \n</script>");
    CHECK(newest.at("first").as_bool());
    CHECK(boost::json::parse(events[1]).at("i").as_int64() == 249);
    CHECK(boost::json::parse(events[199]).at("i").as_int64() == 51);
}

TEST_CASE("a long value is cut in what is remembered, and whole in the log")
{
    const std::string value(5'000, 'v');
    const std::string text = stderr_of([&] {
        start_log({});
        log_event(LogLevel::info, "seen", {{"value", std::string_view{value}}});
    });
    CHECK(text.find(value) != std::string::npos);
    const std::string cut(boost::json::parse(recent_events().front()).at("value").as_string());
    CHECK(cut == value.substr(0, 512) + "...");
}

TEST_CASE("a value with a line end, a format or a quote cannot forge a line")
{
    const std::string text = stderr_of([] {
        start_log({});
        log_event(LogLevel::info, "refused",
                  {{"target", std::string_view{"/a\" \r\n2026-11-21T10:00:00.123Z error {} %v forged=\x1b[2J"}}});
    });
    CHECK(text.find('\n') == text.size() - 1);
    CHECK(text.find(R"(target="/a\" \r\n2026-11-21T10:00:00.123Z error {} %v forged=\x1b[2J")") != std::string::npos);
}

TEST_CASE("only printable UTF-8 reaches a log as it is")
{
    struct Row {
        const char* why;
        std::string_view value;
        const char* want;
    };
    const Row rows[] = {
        {"letters of any language stay", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\x9e",
         "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\x9e"},
        {"control bytes", std::string_view{"\0\x01\x7f", 3}, "\\x00\\x01\\x7f"},
        {"a C1 control can drive a terminal", "\xc2\x9b", "\\xc2\\x9b"},
        {"a line separator is a line end for some readers", "\xe2\x80\xa8", "\\xe2\\x80\\xa8"},
        {"right-to-left override hides what follows", "\xe2\x80\xae", "\\xe2\\x80\\xae"},
        {"a byte that begins nothing", "\xff", "\\xff"},
        {"a character cut short", "\xe2\x82", "\\xe2\\x82"},
        {"an overlong slash", "\xc0\xaf", "\\xc0\\xaf"},
        {"an overlong three-byte form", "\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
        {"a surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80"},
        {"above U+10FFFF", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
        {"a backslash, so that an escape cannot be faked", "\\n", "\\\\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(escaped(row.value) == row.want);
    }
}

TEST_CASE("a JSON string says the same bytes and parses")
{
    const std::string_view value{"a\"\\\n\t\0\x7f\xc3\xa9\xff", 10};
    const auto parsed = boost::json::parse(json_string(value));
    CHECK(std::string_view{parsed.as_string()} == std::string_view{"a\"\\\n\t\0\x7f\xc3\xa9\\xff", 13});
}

TEST_CASE("a value is cut at the limit, between two characters")
{
    CHECK(escaped("abcdef", 6) == "abcdef");
    CHECK(escaped("abcdefg", 6) == "abcdef...");
    CHECK(escaped("abcd\n\n", 5) == "abcd...");
    CHECK(escaped("abcd\xc3\xa9", 5) == "abcd...");
}

TEST_CASE("a text value stands in quotes when a reader could not tell where it ends")
{
    CHECK(field("plain/1.0") == " k=plain/1.0");
    CHECK(field("") == " k=\"\"");
    CHECK(field("a b") == " k=\"a b\"");
    CHECK(field("a=b") == " k=\"a=b\"");
    CHECK(field("a\nb") == " k=\"a\\nb\"");
}
