#include "proxy/observe/access_log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string>

using namespace larder::proxy;
using larder::config::LogFormat;
using namespace std::chrono_literals;
namespace rules = larder::rules;

namespace {

// Two ends of something that a log writes to.
struct Ends {
    int read_end = -1;
    int write_end = -1;
    ~Ends()
    {
        close_reader();
        ::close(write_end);
    }
    void close_reader()
    {
        if (read_end >= 0) ::close(read_end);
        read_end = -1;
    }
    std::string read_all() const
    {
        ::fcntl(read_end, F_SETFL, O_NONBLOCK);
        std::string text;
        char chunk[4096];
        for (ssize_t n = 0; (n = ::read(read_end, chunk, sizeof chunk)) > 0;)
            text.append(chunk, static_cast<std::size_t>(n));
        return text;
    }
};

struct Pipe : Ends {
    Pipe()
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        read_end = ends[0];
        write_end = ends[1];
    }
};

struct SocketPair : Ends {
    SocketPair()
    {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        read_end = ends[0];
        write_end = ends[1];
    }
};

AccessLine example()
{
    AccessLine line;
    line.time = rules::WallTime{1'795'255'200'123ms};
    line.client = "192.0.2.1";
    line.method = "GET";
    line.path = "/api/events";
    line.query = "page=2";
    line.host = "shop.example";
    line.request_id = "7f";
    line.rule = "event list";
    line.count = {.rule = 0,
                  .verdict = rules::Verdict::miss,
                  .forward = rules::Forward::uri_miss,
                  .not_stored = rules::NotStored::set_cookie,
                  .outcome = rules::Outcome::passed,
                  .status = 200};
    line.response_bytes = 512;
    line.total = 1500us;
    line.upstream = 1400us;
    line.store = 90us;
    return line;
}

std::ptrdiff_t lines_in(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

}  // namespace

TEST_CASE("a text line has the words, the times in seconds and the rule")
{
    Pipe pipe;
    Counters counters{1};
    AccessLog log{{.access_every = 1}, counters, pipe.write_end};
    log.write(example());
    log.flush();
    CHECK(pipe.read_all() ==
          "2026-11-21T10:00:00.123Z access client=192.0.2.1 method=GET path=/api/events query=\"page=2\" "
          "host=shop.example status=200 duration=0.001500 bytes=512 verdict=miss reason=uri-miss not_stored=set-cookie "
          "outcome=passed rule=\"event list\" upstream_time=0.001400 store_time=0.000090 request_id=7f\n");
}

TEST_CASE("a JSON line says the same as an object")
{
    Pipe pipe;
    Counters counters{1};
    AccessLog log{{.format = LogFormat::json, .access_every = 1}, counters, pipe.write_end};
    AccessLine line = example();
    line.path = "/\"\r\n{\x80";
    log.write(line);
    log.flush();
    const std::string text = pipe.read_all();
    REQUIRE(lines_in(text) == 1);
    const auto object = boost::json::parse(text.substr(0, text.size() - 1)).as_object();
    CHECK(object.at("ts").as_string() == "2026-11-21T10:00:00.123Z");
    CHECK(object.at("level").as_string() == "info");
    CHECK(object.at("msg").as_string() == "access");
    CHECK(object.at("path").as_string() == "/\"\r\n{\\x80");
    CHECK(object.at("status").as_int64() == 200);
    CHECK(object.at("reason").as_string() == "uri-miss");
    CHECK(object.at("query").as_string() == "page=2");
    CHECK(object.at("duration").as_double() == 0.0015);
    CHECK(object.at("upstream_time").as_double() == 0.0014);
    CHECK(object.at("bytes").as_int64() == 512);
}

TEST_CASE("a hit's line leaves out what it has not: reasons, upstream and store time, rule")
{
    Pipe pipe;
    Counters counters{1};
    AccessLog log{{.access_every = 1}, counters, pipe.write_end};
    AccessLine line;
    line.method = "GET";
    line.path = "/";
    line.count = {.verdict = rules::Verdict::hit, .status = 200};
    log.write(line);
    log.flush();
    CHECK(pipe.read_all() ==
          "1970-01-01T00:00:00.000Z access client=\"\" method=GET path=/ status=200 duration=0.000000 bytes=0 "
          "verdict=hit "
          "outcome=served\n");
}

TEST_CASE("nothing in a request can end its line, and a long path or query is cut")
{
    Pipe pipe;
    Counters counters{1};
    AccessLog log{{.access_every = 1}, counters, pipe.write_end};
    const std::string long_target = "/" + std::string(20'000, '\n');
    const std::string long_text(20'000, '\x01');
    AccessLine line = example();
    line.path = line.query = long_target;
    line.method = line.host = line.request_id = line.rule = line.client = long_text;
    log.write(line);
    log.flush();
    const std::string text = pipe.read_all();
    CHECK(lines_in(text) == 1);
    CHECK(text.size() <= 2560);
}

TEST_CASE("query strings are left out, or their values, when they may hold secrets")
{
    using larder::config::QueryLog;
    const auto line_with = [](QueryLog query) {
        Pipe pipe;
        Counters counters{1};
        AccessLog log{{.access_every = 1, .query = query}, counters, pipe.write_end};
        AccessLine line = example();
        line.query = "page=2&token=s3cret&&flag&a==";
        log.write(line);
        log.flush();
        return pipe.read_all();
    };
    CHECK(line_with(QueryLog::keep).find("token=s3cret") != std::string::npos);
    const std::string names = line_with(QueryLog::names);
    CAPTURE(names);
    CHECK(names.find("query=\"page=&token=&=&flag=&a=\"") != std::string::npos);
    CHECK(names.find("s3cret") == std::string::npos);
    const std::string dropped = line_with(QueryLog::drop);
    CHECK(dropped.find("query=") == std::string::npos);
    CHECK(dropped.find("page") == std::string::npos);
}

TEST_CASE("one line in N is wanted, none at 0")
{
    Counters counters{1};
    AccessLog none{{.access_every = 0}, counters, -1};
    AccessLog third{{.access_every = 3}, counters, -1};
    int wanted = 0;
    for (int i = 0; i < 9; ++i) {
        CHECK_FALSE(none.wants());
        wanted += third.wants();
    }
    CHECK(wanted == 3);
}

TEST_CASE("lines wait in the buffer until it is full, then go out whole")
{
    Pipe pipe;
    ::fcntl(pipe.write_end, F_SETPIPE_SZ, 1 << 20);
    Counters counters{1};
    AccessLog log{{.access_every = 1}, counters, pipe.write_end};
    log.write(example());
    CHECK(pipe.read_all().empty());
    for (int i = 1; i < 400; ++i) log.write(example());
    const std::string first = pipe.read_all();
    CHECK(first.size() > 48 * 1024);
    CHECK(first.back() == '\n');
    log.flush();
    CHECK(lines_in(first + pipe.read_all()) == 400);
    CHECK(counters.get(Counter::log_lines_dropped) == 0);
}

TEST_CASE_TEMPLATE("an output that nobody reads never blocks: its lines are dropped and counted", Output, Pipe,
                   SocketPair)
{
    Output output;
    const int flags_before = ::fcntl(output.write_end, F_GETFL);
    Counters counters{1};
    {
        AccessLog log{{.access_every = 1}, counters, output.write_end};
        for (int i = 0; i < 5000; ++i) log.write(example());
        log.flush();
        CHECK(counters.get(Counter::log_lines_dropped) > 0);

        // The reader comes back: what it gets from then on is whole lines again.
        std::string text = output.read_all();
        log.flush();
        log.write(example());
        log.flush();
        text += output.read_all();
        CHECK(lines_in(text) + static_cast<std::ptrdiff_t>(counters.get(Counter::log_lines_dropped)) == 5001);
        std::string rest = text;
        while (!rest.empty()) {
            const auto end = rest.find('\n');
            REQUIRE(end != std::string::npos);
            REQUIRE(rest.compare(0, 4, "2026") == 0);
            REQUIRE(rest.substr(0, end).ends_with("request_id=7f"));
            rest.erase(0, end + 1);
        }
    }
    CHECK(::fcntl(output.write_end, F_GETFL) == flags_before);  // others use the same open file
}

TEST_CASE("a reader that has gone costs its lines and nothing else")
{
    SocketPair sockets;
    Counters counters{1};
    AccessLog log{{.access_every = 1}, counters, sockets.write_end};
    sockets.close_reader();
    log.write(example());
    log.flush();
    CHECK(counters.get(Counter::log_lines_dropped) == 1);
}

TEST_CASE("lines still in the buffer are written when the log ends")
{
    Pipe pipe;
    Counters counters{1};
    {
        AccessLog log{{.access_every = 1}, counters, pipe.write_end};
        log.write(example());
    }
    CHECK(lines_in(pipe.read_all()) == 1);
}
