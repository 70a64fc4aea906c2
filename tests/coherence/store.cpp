#include "tests/coherence/store.hpp"

#include <iterator>
#include <stdexcept>

#include "tests/support/redis_group.hpp"
#include "tests/support/redis_process.hpp"

namespace larder::tests {

namespace {

[[noreturn]] void refuse(const char* what)
{
    throw std::logic_error(std::string("a script asks this store for ") + what);
}

class NoStore final : public StoreUnderTest {
  public:
    std::string yaml() const override { return {}; }
    void kill() override { refuse("a server"); }
    void start() override { refuse("a server"); }
    void stop() override { refuse("a server"); }
    void go_on() override { refuse("a server"); }
};

class SingleRedis final : public StoreUnderTest {
  public:
    std::string yaml() const override { return yaml_of(redis_.url()); }
    std::string yaml_through(std::uint16_t gate_port) const override
    {
        std::string text = redis_.url();
        const std::size_t colon = text.rfind(':'), slash = text.rfind('/');
        return yaml_of(text.replace(colon + 1, slash - colon - 1, std::to_string(gate_port)));
    }
    std::uint16_t port() const override
    {
        const std::string text = redis_.url();
        return static_cast<std::uint16_t>(std::stoi(text.substr(text.rfind(':') + 1)));
    }
    void kill() override { redis_.kill(); }
    void start() override { redis_.start(); }
    void stop() override { redis_.stop(); }
    void go_on() override { redis_.go_on(); }
    std::string command(const std::vector<std::string>& words) override { return redis_.command(words); }

  private:
    static std::string yaml_of(const std::string& url) { return "store:\n  url: " + url + "\n"; }

    RedisProcess redis_;
};

class BehindSentinel final : public StoreUnderTest {
  public:
    std::string yaml() const override { return yaml_; }
    void kill() override { choose().kill(); }
    void start() override { deposed_->revive(); }
    void stop() override { choose().stop(); }
    void go_on() override { deposed_->go_on(); }
    void hand_over() override { set_.hand_over(); }
    void await_failover() override { set_.await_failover(*deposed_); }
    void await_whole() override { set_.restore(); }

  private:
    RedisNode& choose()
    {
        deposed_ = &set_.master();
        return *deposed_;
    }

    SentinelSet set_;
    const std::string yaml_ = set_.store_yaml();  // once: it writes a file that a starting Larder may be reading
    RedisNode* deposed_ = nullptr;
};

class Clustered final : public StoreUnderTest {
  public:
    std::string yaml() const override { return cluster_.store_yaml(); }
    void kill() override { choose().kill(); }
    void start() override { deposed_->revive(); }
    void stop() override { choose().stop(); }
    void go_on() override { deposed_->go_on(); }
    void hand_over() override
    {
        choose();
        cluster_.hand_over(slot_);
    }
    void await_failover() override { cluster_.await_failover(slot_, *deposed_); }
    void await_whole() override { cluster_.restore(); }
    void move_slot(const std::function<void()>& half_way) override
    {
        const unsigned slot = next_slot();
        cluster_.move_slot(slot, cluster_.other_master(cluster_.master_of(slot)), half_way);
    }

  private:
    /// Of four of the twelve shards, by the hash tags 10, 2, 12 and 40: no two of the first three on one master.
    unsigned next_slot()
    {
        constexpr unsigned slots[] = {247, 5649, 12067, 16130};
        return slots[turns_count_++ % std::size(slots)];
    }

    RedisNode& choose()
    {
        do {
            slot_ = next_slot();
            deposed_ = &cluster_.master_of(slot_);
        } while (!cluster_.has_replica(*deposed_));
        return *deposed_;
    }

    ClusterNodes cluster_;
    RedisNode* deposed_ = nullptr;
    unsigned slot_ = 0;  // that went with it
    std::size_t turns_count_ = 0;
};

}  // namespace

std::string StoreUnderTest::yaml_through(std::uint16_t) const { refuse("a gate"); }
std::uint16_t StoreUnderTest::port() const { refuse("its port"); }
std::string StoreUnderTest::command(const std::vector<std::string>&) { refuse("a command"); }
void StoreUnderTest::await_failover() { refuse("a failover"); }
void StoreUnderTest::hand_over() { refuse("a failover"); }
void StoreUnderTest::await_whole() { refuse("several servers"); }
void StoreUnderTest::move_slot(const std::function<void()>&) { refuse("slots"); }

std::unique_ptr<StoreUnderTest> make_store(StoreKind kind)
{
    switch (kind) {
    case StoreKind::none: return std::make_unique<NoStore>();
    case StoreKind::single: return std::make_unique<SingleRedis>();
    case StoreKind::sentinel: return std::make_unique<BehindSentinel>();
    case StoreKind::cluster: return std::make_unique<Clustered>();
    }
    refuse("a name");
}

}  // namespace larder::tests
