// The connections of a worker read into one buffer, turn by turn: what one of them has received stays its own while it
// waits for Redis, for the upstream or for the client, and none keeps the others from their turn.
#include <mutex>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

constexpr std::uint64_t mib = 1 << 20;

/// 2 to 8 KiB of JSON in which every line says what it belongs to, so that a stretch of another's shows.
std::string document(const std::string& name)
{
    const std::size_t size = 2048 + std::hash<std::string>{}(name) % 6144;
    std::string text = "[";
    while (text.size() < size) text += "\"" + name + "\",\n";
    return text + "\"end\"]";
}

std::string answer_with(const std::string& body)
{
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

/// Answers with the document of method and target; head and body in one segment.
void give_document(Conversation& conversation)
{
    read_body(conversation.wire, conversation.request, 0);
    conversation.wire.send(answer_with(document(conversation.request.method + " " + conversation.request.target)));
    conversation.keep = true;
}

/// What any of several threads finds wrong.
class Complaints {
  public:
    void add(const std::string& text)
    {
        const std::lock_guard lock(mutex_);
        if (text_.empty()) text_ = text;
        any_ = true;
    }
    bool any() const { return any_; }
    std::string first() const
    {
        const std::lock_guard lock(mutex_);
        return text_;
    }
    /// Complains when this is not the document of that name.
    void check(const Response& response, const std::string& name)
    {
        if (response.status == 200 && response.body == document(name)) return;
        add(name + " was answered with " + response.start_line + " and " + response.body.substr(0, 300));
    }

  private:
    mutable std::mutex mutex_;
    std::string text_;
    std::atomic<bool> any_{false};
};

/// A client in a thread of its own that asks for one document after another on one connection.
/// @param path   under it `?round=N` makes every target another one
/// @param going  asked before each round
std::future<void> start_client(const Stage& stage, Complaints& complaints, const std::string& method,
                               const std::string& path, std::function<bool(int)> going)
{
    return std::async(std::launch::async, [&stage, &complaints, method, path, going = std::move(going)] {
        try {
            HttpClient client(stage.larder->port());
            for (int round = 0; going(round) && !complaints.any(); ++round) {
                const std::string target = path + "?round=" + std::to_string(round);
                const bool writes = method != "GET";
                const Response response = client.request(method, target, {}, writes ? "{\"a\": 1}" : "");
                complaints.check(response, method + " " + target);
            }
        } catch (const std::exception& problem) {
            complaints.add(method + " " + path + ": " + problem.what());
        }
    });
}

}  // namespace

TEST_CASE_TEMPLATE(
    "a write's answer that waits for its purge is the writer's own, byte for byte, whatever the worker "
    "receives meanwhile",
    Backend, Embedded, OverRedis)
{
    StageOptions options = over<Backend>(R"(
rules:
  - name: thing-write
    match: PUT /things/{id}
    purge: ["thing:{id}"]
  - name: stored
    match: GET /stored/{id}
    key: stored:{id}:{query.round}
    ttl: 60s
)");
    options.workers = 1;
    Complaints complaints;
    std::atomic<bool> done{false};
    Stage stage(options);
    constexpr int writers_count = 24, readers_count = 8;
    const int rounds_count = static_cast<int>(scaled(200));
    std::vector<std::future<void>> writers, readers;
    for (int i = 0; i < writers_count; ++i) {
        const std::string path = "/things/" + std::to_string(i);
        stage.origin.on(path).handle(give_document);
        writers.push_back(
            start_client(stage, complaints, "PUT", path, [=](int round) { return round < rounds_count; }));
    }
    for (int i = 0; i < readers_count; ++i) {
        const std::string path = (i % 2 == 0 ? "/stored/" : "/passed/") + std::to_string(i);
        stage.origin.on(path).handle(give_document);
        readers.push_back(start_client(stage, complaints, "GET", path, [&](int) { return !done; }));
    }
    for (auto& writer : writers) writer.get();
    done = true;
    for (auto& reader : readers) reader.get();
    CHECK_MESSAGE(!complaints.any(), complaints.first());
}

TEST_CASE("a response head that comes in pieces is read as one, whatever the worker receives between them")
{
    const std::string body = document("pieced");
    const std::string head = "HTTP/1.1 200 OK\r\nX-Name: " + std::string(200, 'n') +
                             "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nX-Last: the end\r\n\r\n";
    const std::size_t in_length = head.find("Length:"), last = head.size() - 1;
    std::atomic<std::size_t> sent_count{0}, allowed_count{0};
    StageOptions options;
    options.rules = R"(
rules:
  - name: filled
    match: GET /filled
    key: filled:{query.n}
    ttl: 60s
  - name: stored
    match: GET /stored
    key: stored
    ttl: 60s
)";
    options.workers = 1;
    Stage stage(options);
    stage.fill("/stored");
    const std::vector<std::vector<std::size_t>> rows{{5}, {in_length}, {last}, {5, in_length, last, last + 100}};
    int number = 0;
    for (const auto& row : rows) {
        for (const char* path : {"/filled", "/passed"}) {
            // What the buffer holds meanwhile: another client's request, or the upstream's answer to it.
            for (const char* others : {"/stored", "/other"}) {
                const std::string target = std::string(path) + "?n=" + std::to_string(++number);
                CAPTURE(target);
                CAPTURE(std::string(others));
                CAPTURE(row.front());
                CAPTURE(row.size());
                sent_count = allowed_count = 0;
                stage.origin.on(target).handle([&, row](Conversation& conversation) {
                    const std::string whole = head + body;
                    std::size_t from = 0;
                    for (std::size_t i = 0; i < row.size(); ++i) {
                        conversation.wire.send(std::string_view(whole).substr(from, row[i] - from));
                        from = row[i];
                        ++sent_count;
                        await_condition("the test goes on", [&] { return allowed_count > i; });
                    }
                    conversation.wire.send(std::string_view(whole).substr(from));
                    conversation.keep = true;
                });
                auto reader = stage.start_get(target);
                auto other = stage.connect();
                for (std::size_t i = 1; i <= row.size(); ++i) {
                    await_condition("the origin has sent a piece", [&] { return sent_count >= i; });
                    // The worker turns to each connection once between two answers, so the piece is read by then.
                    for (int n = 0; n < 4; ++n) CHECK(other->get(others).status == 200);
                    allowed_count = i;
                }
                const Response response = reader.get();
                CHECK(response.status == 200);
                CHECK(response.field("X-Name") == std::string(200, 'n'));
                CHECK(response.field("X-Last") == "the end");
                CHECK(response.body == body);
            }
        }
    }
}

TEST_CASE_TEMPLATE(
    "a request that came in one segment with the body before it is answered as it was sent, though that "
    "body was read ahead",
    Backend, Embedded, OverRedis)
{
    StageOptions options = over<Backend>(R"(
rules:
  - name: follow
    match: POST /follow/{who}
    purge: ["followers:{body.id}"]
)");
    options.workers = 1;
    Complaints complaints;
    std::atomic<bool> done{false};
    std::atomic<int> answered_count{0};
    Stage stage(options);
    constexpr int others_count = 6, writers_count = 4;
    const int rounds_count = static_cast<int>(scaled(100));
    std::vector<std::future<void>> others, writers;
    for (int i = 0; i < others_count; ++i) {
        const std::string path = "/other/" + std::string(500, 'o') + std::to_string(i);
        stage.origin.on(path).handle([&](Conversation& conversation) {
            give_document(conversation);
            ++answered_count;
        });
        others.push_back(start_client(stage, complaints, "GET", path, [&](int) { return !done; }));
    }
    for (int i = 0; i < writers_count; ++i) {
        const std::string who = std::to_string(i);
        stage.origin.on("/next/" + who).handle(give_document);
        stage.origin.on("/follow/" + who).handle([&](Conversation& conversation) {
            // The write takes until the worker has received others' bytes.
            const int before = answered_count;
            await_condition("others are answered", [&] { return answered_count > before + 2 || complaints.any(); });
            give_document(conversation);
        });
        writers.push_back(std::async(std::launch::async, [&, who] {
            try {
                HttpClient client(stage.larder->port());
                for (int round = 0; round < rounds_count && !complaints.any(); ++round) {
                    const std::string query = who + "?round=" + std::to_string(round);
                    const std::string body = "{\"id\": \"" + query + "\"}";
                    client.send_bytes("POST /follow/" + query +
                                      " HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: " +
                                      std::to_string(body.size()) + "\r\n\r\n");
                    const std::string go_on = client.wire().take_through("\r\n\r\n");
                    if (!go_on.starts_with("HTTP/1.1 100 ")) complaints.add("in place of 100 Continue: " + go_on);
                    client.send_bytes(body + "GET /next/" + query + " HTTP/1.1\r\nHost: app.test\r\n\r\n");
                    complaints.check(client.read(), "POST /follow/" + query);
                    complaints.check(client.read(), "GET /next/" + query);
                }
            } catch (const std::exception& problem) {
                complaints.add("writer " + who + ": " + problem.what());
            }
        }));
    }
    for (auto& writer : writers) writer.get();
    done = true;
    for (auto& other : others) other.get();
    CHECK_MESSAGE(!complaints.any(), complaints.first());
}

TEST_CASE("a large download to a fast reader leaves the only worker time for others")
{
    const std::uint64_t size = std::max<std::uint64_t>(scaled(256), 64) * mib;
    // Small chunks keep the worker busier than both of its peers: it never has to wait for either.
    std::string chunks;
    std::uint64_t chunks_data_bytes = 0;
    for (; chunks.size() < mib; chunks_data_bytes += 40) chunks += "28\r\n" + std::string(40, 'x') + "\r\n";
    StageOptions options;
    options.rules = "rules:\n  - name: filled\n    match: GET /filled/{how}\n    key: filled:{how}\n    ttl: 60s\n";
    options.workers = 1;
    Stage stage(options);
    for (const bool chunked : {false, true}) {
        for (const char* rule : {"/passed/", "/filled/"}) {
            const std::string target = std::string(rule) + (chunked ? "chunked" : "by-length");
            CAPTURE(target);
            stage.origin.on(target).handle([&, chunked](Conversation& conversation) {
                const std::string framing =
                    chunked ? "Transfer-Encoding: chunked" : "Content-Length: " + std::to_string(size);
                conversation.wire.send("HTTP/1.1 200 OK\r\n" + framing + "\r\n\r\n");
                const std::string piece = chunked ? chunks : pattern_bytes(0, mib);
                for (std::uint64_t sent = 0; sent < size; sent += chunked ? chunks_data_bytes : piece.size()) {
                    conversation.wire.send(piece);
                }
                if (chunked) conversation.wire.send("0\r\n\r\n");
            });
            auto reader = stage.connect();
            reader->send("GET", target);
            CHECK(read_response_head(reader->wire()).status == 200);
            // One thread does both, so that what has been read when the other answer came is a plain count.
            std::unique_ptr<HttpClient> other;
            bool answered = false;
            std::uint64_t received = 0;
            while (received < size && !answered) {
                const std::size_t count = reader->wire().discard(mib);
                REQUIRE(count > 0);
                received += count;
                if (!other && received > 4 * mib) {
                    other = stage.connect();
                    other->send("GET", "/other");
                }
                answered = other && !other->wire().is_silent_for(0ms);
            }
            // The buffers of the kernel hold far less than a quarter: the worker was not done with the download.
            CHECK(received < size / 4 * 3);
            CHECK(other->read().status == 200);
            reader->wire().reset();
        }
    }
}

}  // namespace larder::tests
