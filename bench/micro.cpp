// What each step of a request costs by itself, with Google Benchmark: build/release/bench/micro
// [--benchmark_filter=...]
#include <benchmark/benchmark.h>

#include <optional>

#include "config/load.hpp"
#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/store/entry_codec.hpp"
#include "proxy/store/memory_store.hpp"
#include "rules/http/head.hpp"
#include "rules/pattern/pattern.hpp"

namespace {

using namespace larder;

constexpr std::string_view bare_head = "GET /shops/17/items/42 HTTP/1.1\r\nHost: shop.example\r\n\r\n";
constexpr std::string_view browser_head =
    "GET /shops/17/items/42?page=2&utm_source=mail HTTP/1.1\r\nHost: shop.example\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cache-Control: max-age=0\r\nConnection: keep-alive\r\nDNT: 1\r\n"
    "Referer: https://shop.example/products?page=2\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\nUpgrade-Insecure-Requests: 1\r\n\r\n";
constexpr std::string_view response_head =
    "HTTP/1.1 200 OK\r\nServer: app\r\nContent-Type: application/json\r\nCache-Control: public, max-age=3600\r\n"
    "Date: Sun, 22 Nov 2026 10:00:00 GMT\r\nETag: \"3f80f-1b6\"\r\nContent-Length: 1024\r\n\r\n";
constexpr rules::WallTime now{rules::Milliseconds{1'795'341'600'000}};

void scan_request(benchmark::State& state, std::string_view bytes)
{
    const rules::HeadLimits limits;
    rules::RequestHead head;
    for (auto _ : state) {
        head.clear();
        benchmark::DoNotOptimize(rules::scan_request(bytes, limits, head));
    }
}
BENCHMARK_CAPTURE(scan_request, bare, bare_head);
BENCHMARK_CAPTURE(scan_request, browser, browser_head);

void scan_response(benchmark::State& state)
{
    const rules::HeadLimits limits;
    rules::ResponseHead head;
    for (auto _ : state) benchmark::DoNotOptimize(rules::scan_response(response_head, limits, false, head));
}
BENCHMARK(scan_response);

/// A configuration of so many rules, and a request that the last one matches.
class Rules {
  public:
    explicit Rules(std::int64_t count, std::string_view head_bytes = bare_head)
    {
        std::string yaml = "upstream: http://127.0.0.1:1\nrules:\n";
        for (std::int64_t i = 1; i < count; ++i)
            yaml += "  - {match: \"GET /other" + std::to_string(i) + "/{id}\", ttl: 60s}\n";
        yaml += R"(  - {match: "GET /shops/{shop}/items/{id}", key: "item:{shop}:{id}:{query}", ttl: 60s, )"
                R"(ignore_query: ["utm_*"]})"
                "\n";
        config::Loaded loaded = config::load_text(yaml, "bench", [](std::string_view) { return std::nullopt; });
        if (!loaded.config) throw std::runtime_error("the rules of the bench: " + loaded.messages.front().text);
        config_ = std::move(loaded.config);
        rules::scan_request(head_bytes, {}, head_);
        request_ = {&head_, head_.path, head_.authority};
    }
    const rules::Matcher& matcher() const { return *config_->matcher; }
    const rules::RequestView& request() const { return request_; }

  private:
    config::ConfigPtr config_;
    rules::RequestHead head_;
    rules::RequestView request_;
};

void match(benchmark::State& state)
{
    const Rules rules(state.range(0));
    for (auto _ : state) benchmark::DoNotOptimize(rules.matcher().match_cache(rules.request()));
}
BENCHMARK(match)->Arg(1)->Arg(10)->Arg(1000);

void key(benchmark::State& state, std::string_view head)
{
    const Rules rules(1, head);
    const rules::Matched matched = rules.matcher().match_cache(rules.request());
    std::string out;
    for (auto _ : state) {
        out.clear();
        benchmark::DoNotOptimize(rules::append_key(out, *matched.rule, rules.request(), matched.values));
    }
}
BENCHMARK_CAPTURE(key, path, bare_head);
BENCHMARK_CAPTURE(key, query, browser_head);

void pattern_match(benchmark::State& state)
{
    for (auto _ : state) benchmark::DoNotOptimize(rules::matches("item:*:42:*", "item:17:42:page=2"));
}
BENCHMARK(pattern_match);

std::shared_ptr<proxy::Entry> made(std::int64_t number, std::size_t body_bytes)
{
    auto entry = std::make_shared<proxy::Entry>();
    entry->key = "item:17:" + std::to_string(number);
    entry->times.stored = now;
    entry->times.lifetime = rules::Milliseconds{60'000};
    entry->expires = now + rules::Milliseconds{3'600'000};
    entry->head = response_head.substr(0, response_head.size() - 2);
    entry->rule = "item";
    entry->set_body(std::string(body_bytes, 'x'));
    return entry;
}

void store_find(benchmark::State& state)
{
    proxy::MemoryStore store(512u << 20);
    for (std::int64_t i = 0; i < state.range(0); ++i) store.insert(made(i, 1024), now);
    std::vector<std::string> keys;
    for (std::int64_t i = 0; i < state.range(0); ++i)
        keys.push_back("item:17:" + std::to_string(i * 7919 % state.range(0)));
    std::size_t next = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(store.find(keys[next], now));
        next = next + 1 == keys.size() ? 0 : next + 1;
    }
}
BENCHMARK(store_find)->Arg(1)->Arg(10'000)->Arg(100'000);

/// Into a full store: each puts another out.
void store_insert(benchmark::State& state)
{
    proxy::MemoryStore store(16u << 20);
    std::int64_t number = 0;
    for (; number < 50'000; ++number) store.insert(made(number, 1024), now);
    for (auto _ : state) benchmark::DoNotOptimize(store.insert(made(number++, 1024), now));
}
BENCHMARK(store_insert);

void entry_encode(benchmark::State& state)
{
    const auto entry = made(1, static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) benchmark::DoNotOptimize(proxy::encode_entry(*entry, 1));
}
BENCHMARK(entry_encode)->Arg(1024)->Arg(256 * 1024);

void entry_decode(benchmark::State& state)
{
    const auto entry = made(1, static_cast<std::size_t>(state.range(0)));
    const std::string value = proxy::encode_entry(*entry, 1);
    for (auto _ : state) benchmark::DoNotOptimize(proxy::decode_entry(value, entry->key, ""));
}
BENCHMARK(entry_decode)->Arg(1024)->Arg(256 * 1024);

/// The head of a hit: what is stored, Age, Cache-Status.
void response_head_patch(benchmark::State& state)
{
    const auto entry = made(1, 1024);
    proxy::Exchange exchange;
    exchange.count.verdict = rules::Verdict::hit;
    exchange.ttl = rules::Milliseconds{42'000};
    std::string out;
    for (auto _ : state) {
        out.clear();
        out += entry->head;
        out += "Age: ";
        proxy::append_number(out, 18);
        out += "\r\n";
        proxy::append_cache_status(out, exchange);
        proxy::append_framing(out, {}, exchange);
        benchmark::DoNotOptimize(out.data());
    }
}
BENCHMARK(response_head_patch);

}  // namespace

BENCHMARK_MAIN();
