// One response for each request, in their order, whatever the app does: random requests, pipelined, to an app that
// answers at random, well or badly. The same in every run, but for the order in which concurrent fetches end.
#include <algorithm>
#include <mutex>
#include <random>

#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 1s
    stale_while_revalidate: 1s
    stale_if_error: 10s
    client_cache_control: respect
  - name: item-write
    match: PUT|POST|DELETE /items/{id}
    purge: "item:{id}"
)";

class Chance {
  public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}
    std::size_t below(std::size_t limit)
    {
        const std::lock_guard lock(mutex_);
        return engine_() % limit;
    }
    template <class T, std::size_t N>
    const T& one_of(const T (&choices)[N])
    {
        return choices[below(N)];
    }

  private:
    std::mutex mutex_;
    std::mt19937_64 engine_;
};

std::string chunks(const std::string& body, bool whole)
{
    std::string text = "5\r\n" + body.substr(0, 5) + "\r\n";
    return whole ? text + "3\r\n" + body.substr(5, 3) + "\r\n0\r\nX-Trailer: 1\r\n\r\n" : text + "9\r\nabc";
}

/// An app with every habit. Each answer says in X-Path and ETag to what it is one.
Handler moody(Chance& chance)
{
    return [&chance](Conversation& conversation) {
        Request& request = conversation.request;
        read_body(conversation.wire, request, 1 << 20);
        const std::string path = request.target;
        const std::string named = "X-Path: " + path + "\r\nETag: \"" + path + "\"\r\n";
        const char* const policies[] = {"",
                                        "Cache-Control: max-age=1\r\n",
                                        "Cache-Control: private\r\n",
                                        "Cache-Control: no-cache\r\n",
                                        "Cache-Control: no-store\r\n",
                                        "Cache-Control: max-age=60\r\nVary: Accept\r\n"};
        const std::string head = named + chance.one_of(policies);
        const bool to_head = request.method == "HEAD";
        const auto whole = [&](const std::string& status, const std::string& body) {
            return "HTTP/1.1 " + status + "\r\n" + head + "Content-Length: " + std::to_string(body.size()) +
                   "\r\n\r\n" + (to_head ? "" : body);
        };
        const auto say = [&](const std::string& text) { conversation.wire.send(text); };
        conversation.keep = true;
        switch (chance.below(to_head ? 6 : 15)) {
        case 0: return say(whole("200 OK", "12345678"));
        case 1: return say(whole("404 Not Found", "gone"));
        case 2: return say(whole("500 Broken", "broken"));
        case 3: return say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole("200 OK", "12345678"));
        case 4:
            if (request.has("If-None-Match")) return say("HTTP/1.1 304 Not Modified\r\n" + head + "\r\n");
            return say(whole("200 OK", "12345678"));
        case 5: conversation.keep = false; return;  // not a word
        case 6: return say("HTTP/1.1 204 No Content\r\n" + head + "\r\n");
        case 7:
            return say("HTTP/1.1 200 OK\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n" + chunks("12345678", true));
        case 8:
            conversation.keep = false;
            return say("HTTP/1.1 200 OK\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n" + chunks("12345678", false));
        case 9:
            conversation.keep = false;
            return say("HTTP/1.1 200 OK\r\n" + head + "Content-Length: 100\r\n\r\n12345678");
        case 10: conversation.keep = false; return say("HTTP/1.1 200 OK\r\n" + head + "\r\nuntil the end");
        case 11: return say(whole("200 OK", std::string(100'000, 'x')));  // above max_object
        case 12:
            return say("HTTP/1.1 206 Part\r\n" + head + "Content-Range: bytes 0-3/8\r\nContent-Length: 4\r\n\r\n1234");
        case 13: conversation.keep = false; return say("HTTP/1.1 two hundred\r\n\r\n");
        default: conversation.keep = false; return say(whole("200 OK", "12345678") + "HTTP/1.1 200 OK\r\n\r\n");
        }
    };
}

struct Asked {
    std::string method, target, bytes;
};

Asked make_request(Chance& chance)
{
    const char* const methods[] = {"GET", "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"};
    const char* const conditions[] = {"",
                                      "",
                                      "",
                                      "Range: bytes=0-3\r\n",
                                      "Range: bytes=2-2,7-\r\n",
                                      "Range: bytes=100-\r\n",
                                      "Range: bytes=0-3\r\nIf-Range: \"other\"\r\n",
                                      "Cache-Control: no-cache\r\n",
                                      "Cache-Control: only-if-cached\r\n",
                                      "Cache-Control: max-stale\r\n",
                                      "Cache-Control: no-store\r\n",
                                      "Accept: text/html\r\n",
                                      "If-Match: \"x\"\r\n"};
    Asked asked;
    asked.method = chance.one_of(methods);
    asked.target = "/items/" + std::to_string(chance.below(4));
    asked.bytes = asked.method + " " + asked.target + " HTTP/1.1\r\nHost: app.test\r\n" + chance.one_of(conditions);
    if (chance.below(4) == 0) asked.bytes += "If-None-Match: \"" + asked.target + "\"\r\n";
    const bool with_body = asked.method == "POST" || asked.method == "PUT";
    if (with_body && chance.below(2) == 0)
        asked.bytes += "Content-Length: 3\r\n\r\nabc";
    else if (with_body)
        asked.bytes += "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    else
        asked.bytes += "\r\n";
    return asked;
}

/// Is it an answer to this request: the app's, by the path it names, or one of Larder's own?
bool answers(const Response& response, const Asked& asked)
{
    const std::string& path = response.field("X-Path");
    if (!path.empty()) return path == asked.target;
    if (response.status == 304) return response.field("ETag") == "\"" + asked.target + "\"";
    return response.status == 416 || response.field("Content-Type") == "application/problem+json";
}

}  // namespace

TEST_CASE_TEMPLATE("each request has one answer, in its turn, whatever the app does", Backend, Embedded, OverRedis)
{
    Chance chance(20261121);
    Stage stage(over<Backend>(rules, "max_object: 64KiB\n"));
    for (int i = 0; i < 4; ++i) stage.origin.on("/items/" + std::to_string(i)).handle(moody(chance));
    std::size_t answered_count = 0;
    const std::size_t rounds = scaled(160);
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        std::vector<Asked> asked;
        for (int i = 0; i < 12; ++i) asked.push_back(make_request(chance));
        // The last one's answer can be no other's.
        const std::string last = "/last/" + std::to_string(round);
        asked.push_back({"GET", last, "GET " + last + " HTTP/1.1\r\nHost: app.test\r\n\r\n"});
        stage.origin.on(last).header("X-Path", last);
        for (std::size_t next = 0; next < asked.size();) {
            auto client = stage.connect();
            std::string all;
            for (std::size_t i = next; i < asked.size(); ++i) all += asked[i].bytes;
            client->send_bytes(all);
            for (bool open = true; open && next < asked.size(); ++next) {
                CAPTURE(asked[next].bytes);
                const Response response = client->read(asked[next].method == "HEAD");
                REQUIRE(answers(response, asked[next]));
                ++answered_count;
                // A connection ends by its own word, or because an answer was cut.
                open = response.ended_properly && response.field("Connection") != "close";
                if (!open) CHECK(client->wire().is_closed_by_peer());
            }
            CHECK(client->wire().unread().empty());
        }
    }
    CHECK(answered_count == rounds * 13);
    CHECK(stage.get("/last/0").status == 200);
}

}  // namespace larder::tests
