// Bodies from nothing to 1 GiB, both ways, intact, with bounded memory; and thousands of idle connections.
// LARDER_TEST_SCALE divides the sizes, for builds that are slow or keep freed memory.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

constexpr std::uint64_t mib = 1 << 20;

/// Sanitizers quarantine freed memory, so a bound on resident memory says nothing there.
bool memory_is_meaningful() { return scaled(16) == 16; }

}  // namespace

TEST_CASE("bodies of every size come down intact, by length and chunked")
{
    Stage stage({});
    auto client = stage.connect();
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095}, std::uint64_t{65'536},
                                     std::uint64_t{65'537}, std::uint64_t{1'000'003}, 16 * mib}) {
        for (const bool chunked : {false, true}) {
            CAPTURE(size);
            CAPTURE(chunked);
            const std::string target = "/" + std::to_string(size) + (chunked ? "c" : "l");
            Route& route = stage.origin.on(target).reply(200, "", "").generated(size);
            if (chunked) route.chunked();
            const Response response = client->get(target);
            CHECK(response.body.size() == size);
            CHECK(is_pattern(response.body, 0));
            CHECK(response.ended_properly);
        }
    }
}

TEST_CASE("a body in many small chunks comes down intact, wherever a read happens to end")
{
    for (const char* rules : {"rules: []\n", "rules:\n  - name: a\n    match: GET /a\n    key: a\n    ttl: 60s\n"}) {
        CAPTURE(std::string(rules));
        StageOptions options;
        options.rules = rules;
        Stage stage(options);
        const std::string body = pattern_bytes(0, 4 * mib);
        for (const std::size_t chunk_bytes :
             {std::size_t{7}, std::size_t{40}, std::size_t{1000}, std::size_t{65'530}}) {
            CAPTURE(chunk_bytes);
            stage.origin.on("/a").chunked(chunk_bytes).reply(200, "", body);
            CHECK(is_pattern(stage.get("/a").body, 0));
        }
    }
}

TEST_CASE("bodies of every size go up intact, by length and chunked")
{
    Stage stage({});
    auto client = stage.connect();
    bool intact = true;
    std::uint64_t received = 0;
    stage.origin.on("/up").handle([&](Conversation& conversation) {
        std::uint64_t at = 0;
        read_body(conversation.wire, conversation.request, 0, [&](std::string_view piece) {
            intact = intact && is_pattern(piece, at);
            at += piece.size();
        });
        received = at;
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        conversation.keep = true;
    });
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{65'537}, 4 * mib + 1}) {
        CAPTURE(size);
        const std::string body = pattern_bytes(0, size);
        client->send_bytes("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
                           body);
        CHECK(client->read().status == 200);
        CHECK(received == size);
        std::string chunked = "PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (std::uint64_t at = 0; at < size; at += 50'000) {
            const std::string piece = body.substr(at, 50'000);
            char line[24];
            std::snprintf(line, sizeof line, "%zx\r\n", piece.size());
            chunked += line + piece + "\r\n";
        }
        client->send_bytes(chunked + "0\r\n\r\n");
        CHECK(client->read().status == 200);
        CHECK(received == size);
    }
    CHECK(intact);
}

TEST_CASE("1 GiB comes down to a reader that first stalls, in bounded memory")
{
    struct Row {
        const char* why;
        const char* rules;
    };
    const Row rows[] = {{"passed", "rules: []\n"},
                        {"a fill, given up when it grows above max_object",
                         "rules:\n  - name: big\n    match: GET /big\n    key: big\n    ttl: 60s\n"}};
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        StageOptions options;
        options.rules = row.rules;
        Stage stage(options);
        const std::uint64_t size = scaled(1024) * mib;
        stage.origin.on("/big").reply(200, "", "").generated(size).chunked();
        HttpClient client(stage.larder->port(), 64 * 1024);
        client.wire().set_limit(6 * step_limit());
        client.send("GET", "/big");
        Response response = read_response_head(client.wire());
        // Nobody reads now. The origin must come to a halt: what is on its way fits the buffers of the kernel and
        // Larder.
        client.wire().receive();
        std::uint64_t at = 0;
        bool intact = true;
        std::uint64_t highest_kib = 0;
        std::uint64_t pieces_count = 0;
        read_body(client.wire(), response, 0, [&](std::string_view piece) {
            intact = intact && is_pattern(piece, at);
            at += piece.size();
            // Slow at first: every look at /proc is a pause of the reader.
            if (++pieces_count < 2000 || pieces_count % 1000 == 0) {
                highest_kib = std::max(highest_kib, stage.larder->process().memory_kib("VmRSS"));
            }
        });
        CHECK(response.ended_properly);
        CHECK(intact);
        CHECK(at == size);
        if (memory_is_meaningful()) {
            CHECK(highest_kib < 100 * 1024);
            CHECK(stage.larder->process().memory_kib("VmHWM") < 100 * 1024);
        }
    }
}

TEST_CASE("while a reader stands still the origin comes to a halt")
{
    Stage stage({});
    std::atomic<std::uint64_t> sent{0};
    std::atomic<bool> halted{false};
    stage.origin.on("/big").handle([&](Conversation& conversation) {
        const std::uint64_t size = 256 * mib;
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
        // Sends what is taken, until for a while nothing is.
        while (sent < size) {
            const std::string piece = pattern_bytes(sent, 64 * 1024);
            std::size_t taken = 0;
            if (!eventually([&] { return (taken = conversation.wire.send_some(piece)) > 0; }, 500ms)) {
                halted = true;
                return;
            }
            sent += taken;
        }
    });
    HttpClient client(stage.larder->port(), 64 * 1024);
    client.send("GET", "/big");
    await_condition("the origin has halted", [&] { return halted.load(); });
    CHECK(sent < 64 * mib);
    if (memory_is_meaningful()) CHECK(stage.larder->process().memory_kib("VmRSS") < 100 * 1024);
}

TEST_CASE("1 GiB goes up to an app that first stalls, in bounded memory")
{
    Stage stage({});
    const std::uint64_t size = scaled(1024) * mib;
    std::promise<void> go_on;
    auto allowed = go_on.get_future().share();
    std::atomic<bool> intact{true};
    std::atomic<std::uint64_t> received{0};
    stage.origin.on("/up").handle([&, allowed](Conversation& conversation) {
        allowed.wait();
        read_body(conversation.wire, conversation.request, 0, [&](std::string_view piece) {
            if (!is_pattern(piece, received)) intact = false;
            received += piece.size();
        });
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        conversation.keep = true;
    });
    auto client = stage.connect();
    client->wire().set_limit(6 * step_limit());
    client->send_bytes("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
    std::uint64_t sent = 0;
    // Until nobody takes any more: the app does not read yet.
    for (std::size_t taken = 1; taken > 0;) {
        const std::string piece = pattern_bytes(sent, static_cast<std::size_t>(std::min(size - sent, 4 * mib)));
        taken = 0;
        eventually([&] { return (taken = client->wire().send_some(piece)) > 0; }, 500ms);
        sent += taken;
        if (sent == size) break;
    }
    if (size > 256 * mib) CHECK(sent < 128 * mib);
    if (memory_is_meaningful()) CHECK(stage.larder->process().memory_kib("VmRSS") < 100 * 1024);
    go_on.set_value();
    while (sent < size) {
        const std::string piece = pattern_bytes(sent, static_cast<std::size_t>(std::min(size - sent, mib)));
        client->send_bytes(piece);
        sent += piece.size();
    }
    CHECK(client->read().status == 200);
    CHECK(received == size);
    CHECK(intact);
    if (memory_is_meaningful()) CHECK(stage.larder->process().memory_kib("VmHWM") < 100 * 1024);
}

TEST_CASE("9,000 idle connections are held, and a new request is served at once")
{
    const std::uint64_t connections_count = scaled(9'000);
    if (raise_open_files_limit(20'000) < 2 * connections_count + 500) {
        MESSAGE("skipped: the hard limit of open files is too low for this test");
        return;
    }
    StageOptions options;
    options.rules = "rules:\n  - name: stored\n    match: GET /stored\n    key: stored\n    ttl: 60s\n";
    Stage stage(options);
    stage.fill("/stored");
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (std::uint64_t i = 0; i < connections_count; ++i) clients.push_back(stage.connect());
    // Half of them have been used: an idle connection is mostly one that waits for its next request.
    for (std::uint64_t i = 0; i < connections_count; i += 2) {
        REQUIRE(clients[i]->get("/stored").status == 200);
    }
    const milliseconds before = monotonic_time();
    CHECK(stage.get("/stored").status == 200);
    CHECK(stage.get("/passed").status == 200);
    CHECK(monotonic_time() - before < 1s);
    // Every one is alive.
    for (auto& client : clients) client->send("GET", "/stored");
    std::uint64_t answered_count = 0;
    for (auto& client : clients) answered_count += client->read().status == 200 ? 1 : 0;
    CHECK(answered_count == connections_count);
    MESSAGE("resident: ", stage.larder->process().memory_kib("VmRSS") / 1024, " MiB with ", connections_count,
            " connections");
}

}  // namespace larder::tests
