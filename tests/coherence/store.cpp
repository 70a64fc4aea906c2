#include "tests/coherence/store.hpp"

#include <stdexcept>

#include "tests/support/redis_process.hpp"

namespace larder::tests {

namespace {

class SingleRedis final : public StoreUnderTest {
  public:
    std::string url() const override { return redis_.url(); }
    std::string url_through(std::uint16_t gate_port) const override
    {
        std::string text = redis_.url();
        const std::size_t colon = text.rfind(':'), slash = text.rfind('/');
        return text.replace(colon + 1, slash - colon - 1, std::to_string(gate_port));
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
    RedisProcess redis_;
};

}  // namespace

std::unique_ptr<StoreUnderTest> make_store(StoreKind kind)
{
    if (kind == StoreKind::single) return std::make_unique<SingleRedis>();
    throw std::invalid_argument("no such store");
}

}  // namespace larder::tests
