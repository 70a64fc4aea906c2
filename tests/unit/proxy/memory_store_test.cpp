#include "proxy/store/memory_store.hpp"

#include <doctest/doctest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <list>
#include <random>
#include <thread>
#include <unordered_map>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// g++ ships the functions without their header, sanitizer/allocator_interface.h.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, std::size_t),
                                                         void (*free_hook)(const volatile void*));
#define LARDER_COUNTS_ALLOCATIONS
#endif

using namespace larder;
using namespace larder::proxy;
using namespace std::chrono_literals;

namespace {

constexpr rules::WallTime now{1'763'722'000'000ms};
constexpr std::uint64_t mebibyte = 1 << 20;

std::shared_ptr<Entry> made(std::string key, std::size_t body_bytes = 0, rules::Milliseconds kept = 1h)
{
    auto entry = std::make_shared<Entry>();
    entry->key = std::move(key);
    entry->times.stored = now;
    entry->expires = now + kept;
    entry->head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    entry->set_body(std::string(body_bytes, 'x'));
    return entry;
}

// Bytes that the process has allocated now.
std::uint64_t heap_bytes()
{
#ifdef LARDER_COUNTS_ALLOCATIONS
    return __sanitizer_get_current_allocated_bytes();
#else
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

// What everybody knows, to compare with: least recently used, bounded in entries.
class PlainLru {
  public:
    explicit PlainLru(std::size_t limit) : limit_(limit) {}
    bool find(std::size_t key)
    {
        const auto found = places_.find(key);
        if (found == places_.end()) return false;
        order_.splice(order_.begin(), order_, found->second);
        return true;
    }
    void insert(std::size_t key)
    {
        order_.push_front(key);
        places_[key] = order_.begin();
        if (order_.size() <= limit_) return;
        places_.erase(order_.back());
        order_.pop_back();
    }

  private:
    std::size_t limit_;
    std::list<std::size_t> order_;
    std::unordered_map<std::size_t, std::list<std::size_t>::iterator> places_;
};

class Zipf {
  public:
    Zipf(std::size_t count, double exponent) : sums_(count)
    {
        double sum = 0;
        for (std::size_t i = 0; i < count; ++i) sums_[i] = sum += 1 / std::pow(static_cast<double>(i + 1), exponent);
    }
    std::size_t operator()(std::mt19937& random)
    {
        const double at = std::uniform_real_distribution<>{0, sums_.back()}(random);
        return static_cast<std::size_t>(std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
    }

  private:
    std::vector<double> sums_;
};

// Looks the key up and stores it when it is not there, as a request would.
bool request(MemoryStore& store, std::size_t key, std::size_t body_bytes)
{
    const std::string name = "k" + std::to_string(key);
    if (store.find(name, now)) return true;
    store.insert(made(name, body_bytes), now);
    return false;
}

}  // namespace

TEST_CASE("an entry is found under its own storage key and under no other, until it is erased")
{
    MemoryStore store{mebibyte};
    auto variant = made("b", 1);
    variant->variant = "0123456789abcdef";
    CHECK(store.insert(made("a", 1), now));
    CHECK(store.insert(variant, now));
    CHECK(store.find("a", now));
    CHECK(store.find("b\n0123456789abcdef", now) == variant);
    for (const char* other : {"", "b", "a\n", "b\n", "b\n0123456789abcdeg", "c\n0123456789abcdef", "ab"})
        CHECK_FALSE(store.find(other, now));
    store.erase("a");
    store.erase("never there");
    CHECK_FALSE(store.find("a", now));
    CHECK(store.stats().entries == 1);
    store.clear();
    CHECK(store.stats().entries == 0);
    CHECK(store.stats().bytes == 0);
    CHECK_FALSE(store.find("b\n0123456789abcdef", now));
    CHECK(store.insert(made("a", 1), now));
}

TEST_CASE("an entry is kept up to its hard expiry and not a millisecond longer")
{
    MemoryStore store{mebibyte};
    REQUIRE(store.insert(made("a", 1, 10ms), now));
    CHECK(store.find("a", now + 9ms));
    CHECK_FALSE(store.find("a", now + 10ms));
    CHECK(store.stats().entries == 0);
    CHECK(store.stats().expired == 1);
    CHECK_FALSE(store.insert(made("a", 1, 10ms), now + 10ms));
}

TEST_CASE("an entry replaces an older or equally old one of the same key, and never a newer one of the same epoch")
{
    MemoryStore store{mebibyte};
    auto older = made("a"), newer = made("a"), twin = made("a"), foreign = made("a");
    newer->times.stored = twin->times.stored = now + 1ms;
    foreign->epoch = 1;
    CHECK(store.insert(older, now));
    CHECK(store.insert(newer, now));
    CHECK_FALSE(store.insert(older, now));
    CHECK(store.find("a", now) == newer);
    CHECK(store.insert(twin, now));
    CHECK(store.find("a", now) == twin);
    CHECK(store.insert(foreign, now));  // another server run: the times are not comparable
    CHECK(store.find("a", now) == foreign);
    CHECK(store.stats().entries == 1);
}

TEST_CASE("an expired entry does not stand in the way of an older one")
{
    MemoryStore store{mebibyte};
    auto newer = made("a", 0, 10ms);
    newer->times.stored = now + 1ms;
    REQUIRE(store.insert(newer, now));
    CHECK(store.insert(made("a"), now + 10ms));
}

TEST_CASE("a store without capacity keeps nothing, and no store keeps what is larger than one shard")
{
    MemoryStore none{0};
    CHECK_FALSE(none.insert(made("a"), now));
    CHECK_FALSE(none.find("a", now));
    MemoryStore small{8 * mebibyte};
    CHECK_FALSE(small.insert(made("a", 8 * mebibyte), now));
    CHECK(small.insert(made("a", 7 * mebibyte), now));
    CHECK(small.insert(made("b", 7 * mebibyte), now));
    CHECK(small.find("b", now));
    CHECK(small.stats().entries == 1);
}

TEST_CASE("replacing an entry by a larger one keeps the store within its capacity")
{
    MemoryStore store{mebibyte};
    for (int i = 0; i < 100; ++i) store.insert(made("k" + std::to_string(i), 1000), now);
    for (int i = 0; i < 100; ++i) store.insert(made("k" + std::to_string(i), 100'000), now);
    CHECK(store.stats().bytes <= mebibyte);
    CHECK(store.stats().bytes > mebibyte / 2);
}

TEST_CASE("a flood of entries of any size takes about the capacity in real memory and never 15 % more")
{
    struct Row {
        const char* why;
        std::size_t least, most;
    };
    const Row rows[] = {
        {"nodes and tables weigh most", 0, 50}, {"rounding", 200, 3000}, {"bodies weigh most", 50'000, 300'000}};
    constexpr std::uint64_t capacity = 32 * mebibyte;
    for (const Row& row : rows) {
        CAPTURE(row.why);
        std::mt19937 random{1};
        std::uniform_int_distribution<std::size_t> size{row.least, row.most};
        const std::uint64_t before = heap_bytes();
        MemoryStore store{capacity};
        std::uint64_t peak = 0, flood = 0;
        for (int i = 0; flood < 3 * capacity; ++i) {
            auto entry = made("shop:/items/" + std::to_string(i), size(random));
            flood += entry->cost_bytes();
            store.insert(std::move(entry), now);
            if (i % 64 == 0) peak = std::max(peak, heap_bytes() - before);
        }
        const MemoryStats stats = store.stats();
        CHECK(stats.bytes <= capacity);
        CHECK(stats.evicted > 0);
        CHECK(peak <= capacity / 100 * 115);
        CHECK(peak >= capacity / 100 * 75);
        store.clear();
        CHECK(heap_bytes() < before + mebibyte);
    }
}

TEST_CASE("an expired entry is removed when its turn comes, however often it was found")
{
    MemoryStore store{mebibyte};
    REQUIRE(store.insert(made("popular", 1000, 10ms), now));
    for (int i = 0; i < 10; ++i) CHECK(store.find("popular", now));
    for (int i = 0; i < 2000; ++i) store.insert(made("k" + std::to_string(i), 1000), now + 10ms);
    CHECK(store.stats().expired == 1);
}

TEST_CASE("a hot set survives a scan that is three times as large as the store; under plain LRU it does not")
{
    MemoryStore store{4 * mebibyte};
    for (int round = 0; round < 4; ++round)
        for (std::size_t key = 0; key < 500; ++key) request(store, key, 1000);
    PlainLru lru{4 * mebibyte / made("k", 1000)->cost_bytes()};
    for (std::size_t key = 0; key < 500; ++key) lru.insert(key);
    for (std::size_t key = 1'000'000; key < 1'000'000 + 8000; ++key) {
        request(store, key, 1000);
        lru.insert(key);
    }
    std::size_t kept = 0, kept_by_lru = 0;
    for (std::size_t key = 0; key < 500; ++key) {
        kept += store.find("k" + std::to_string(key), now) != nullptr;
        kept_by_lru += lru.find(key);
    }
    CHECK(kept == 500);
    CHECK(kept_by_lru == 0);
}

TEST_CASE("requests that follow Zipf's law find more than under plain LRU of as many entries")
{
    for (double exponent : {0.8, 1.0}) {
        CAPTURE(exponent);
        MemoryStore store{2 * mebibyte};
        Zipf zipf{20'000, exponent};
        std::mt19937 random{3};
        for (int i = 0; i < 20'000; ++i) request(store, zipf(random), 500);  // fills it
        PlainLru lru{store.stats().entries};
        int hits = 0, lru_hits = 0;
        for (int i = 0; i < 150'000; ++i) {
            const std::size_t key = zipf(random);
            const bool hit = request(store, key, 500), lru_hit = lru.find(key);
            if (!lru_hit) lru.insert(key);
            if (i < 20'000) continue;  // fills the other
            hits += hit;
            lru_hits += lru_hit;
        }
        MESSAGE("hits of 130000 at exponent " << exponent << ": " << hits << ", plain LRU " << lru_hits);
        CHECK(hits > lru_hits * 1.02);
    }
}

TEST_CASE("what everybody asks for is kept even when all of it is popular and does not fit")
{
    MemoryStore store{mebibyte};
    for (int round = 0; round < 20; ++round)
        for (std::size_t key = 0; key < 2000; ++key) {
            request(store, key, 1000);
            for (int i = 0; i < 4; ++i) request(store, key, 1000);
        }
    CHECK(store.stats().bytes <= mebibyte);
    CHECK(store.stats().bytes > mebibyte * 9 / 10);
}

#ifdef LARDER_COUNTS_ALLOCATIONS
namespace {
std::atomic<int> allocations{0};
thread_local bool counting = false;
void count_allocation(const volatile void*, std::size_t)
{
    if (counting) ++allocations;
}
void count_release(const volatile void*) {}
}  // namespace

TEST_CASE("finding an entry, and finding none, allocates nothing")
{
    static const int installed = __sanitizer_install_malloc_and_free_hooks(count_allocation, count_release);
    REQUIRE(installed);
    MemoryStore store{mebibyte};
    auto variant = made(std::string(100, 'b'), 1);
    variant->variant = "0123456789abcdef";
    store.insert(made(std::string(100, 'a'), 1), now);
    store.insert(variant, now);
    const std::string plain(100, 'a'), with_variant = storage_key(std::string(100, 'b'), "0123456789abcdef"),
                                       none(100, 'c');
    counting = true;
    ::operator delete(::operator new(1));  // the count counts
    const int counted = allocations.exchange(0);
    const bool found = store.find(plain, now) && store.find(with_variant, now) && !store.find(none, now);
    counting = false;
    CHECK(counted == 1);
    CHECK(found);
    CHECK(allocations == 0);
}
#endif

TEST_CASE("several threads share one store and never find an entry under a foreign key")
{
    MemoryStore store{mebibyte, 4};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) {
        threads.emplace_back([&store, &wrong, seed] {
            std::mt19937 random{seed};
            for (int i = 0; i < 10'000; ++i) {
                const std::string key = "k" + std::to_string(random() % 3000);
                const EntryPtr found = store.find(key, now);
                if (found && found->key != key) ++wrong;
                if (!found) store.insert(made(key, random() % 2000), now);
                if (random() % 50 == 0) store.erase(key);
                if (random() % 2000 == 0) store.clear();
                if (random() % 500 == 0 && store.stats().bytes > mebibyte) ++wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}
