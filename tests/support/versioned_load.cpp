#include "tests/support/versioned_load.hpp"

#include <cstdlib>

namespace larder::tests {

const char* const versioned_item_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 5m
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
  - name: all-items-write
    match: DELETE /items
    purge: ["item:*"]
)";

namespace {

void answer(Conversation& conversation, int version)
{
    const std::string body = std::to_string(version);
    conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    conversation.keep = true;
}

}  // namespace

VersionedItems::VersionedItems(ScriptedOrigin& origin)
{
    for (std::size_t item = 0; item < count; ++item) {
        origin.on("GET " + target(item)).handle([this, item](Conversation& conversation) {
            answer(conversation, written_[item]);
        });
        origin.on("PUT " + target(item)).handle([this, item](Conversation& conversation) {
            conversation.wire.take(1);
            answer(conversation, ++written_[item]);
        });
    }
}

void VersionedItems::acknowledge(std::size_t item, int version)
{
    int known = acknowledged_[item];
    while (known < version && !acknowledged_[item].compare_exchange_weak(known, version)) {}
}

VersionedLoad::VersionedLoad(std::uint16_t port, VersionedItems& items) : items_(items)
{
    for (const std::size_t first : {0u, 7u})
        clients_.push_back(std::async(std::launch::async, [this, port, first] { read(port, first); }));
    clients_.push_back(std::async(std::launch::async, [this, port] { write(port); }));
}

void VersionedLoad::stop()
{
    done_ = true;
    for (auto& client : clients_) client.wait();
}

void VersionedLoad::read(std::uint16_t port, std::size_t first)
try {
    HttpClient client(port);
    for (std::size_t n = first; !done_; ++n) {
        const std::size_t item = n % VersionedItems::count;
        const int least = items_.acknowledged(item);
        const Response response = client.get(VersionedItems::target(item));
        if (response.status != 200) ++errors;
        if (std::atoi(response.body.c_str()) < least) ++stale;
        if (is_hit(response)) ++hits;
        ++requests;
        // Light: sentinels and nodes must get their time, or they take each other for dead.
        eventually([&] { return done_.load(); }, milliseconds{2});
    }
} catch (const std::exception& problem) {
    MESSAGE(problem.what());
    ++errors;
}

void VersionedLoad::write(std::uint16_t port)
try {
    HttpClient client(port);
    const std::atomic<int>& read_count = requests;
    for (std::size_t n = 0; !done_; ++n) {
        const std::size_t item = (n * 5) % VersionedItems::count;
        const Response response = client.request("PUT", VersionedItems::target(item), {}, "x");
        if (response.status == 200)
            items_.acknowledge(item, std::atoi(response.body.c_str()));
        else
            ++errors;
        // One write for many reads, however fast they are.
        const int before = read_count;
        eventually([&] { return done_ || read_count > before + 50 || errors > 0; });
    }
} catch (const std::exception& problem) {
    MESSAGE(problem.what());
    ++errors;
}

void VersionedLoad::await_requests(int more) const
{
    const int end = requests + more;
    await_condition("the load goes on", [&] { return requests >= end || errors > 0; });
}

void VersionedLoad::await_hits(int more) const
{
    const int end = hits + more;
    await_condition("hits come back", [&] { return hits >= end || errors > 0; });
}

}  // namespace larder::tests
