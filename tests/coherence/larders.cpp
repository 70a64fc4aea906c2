#include <signal.h>

#include <regex>
#include <stdexcept>

#include "tests/coherence/proxies.hpp"
#include "tests/coherence/store.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/larder_binary.hpp"

namespace larder::tests {

namespace {

std::uint16_t find_port(const std::string& log, const std::string& name)
{
    std::smatch found;
    const std::regex line("ready[^\n]*\\b" + name + R"(\W+127\.0\.0\.1:(\d+))");
    if (!std::regex_search(log, found, line)) return 0;
    return static_cast<std::uint16_t>(std::stoi(found[1]));
}

std::string milliseconds_text(std::chrono::milliseconds time) { return std::to_string(time.count()) + "ms"; }

class Larders final : public Proxies {
  public:
    Larders(const LarderOptions& options, std::uint16_t backend_port, std::function<std::string(int)> store_yaml)
        : options_(options), backend_port_(backend_port), store_yaml_(std::move(store_yaml))
    {
        if (options_.binary.empty()) options_.binary = larder_binary();
        const int count = store_yaml_(0).empty() ? 1 : replicas_count;  // the others would know nothing of its writes
        for (int replica = 0; replica < count; ++replica) launch(replica);
        for (int replica = 0; replica < count; ++replica) await_ready(replica);
    }
    ~Larders() override
    {
        for (int replica = 0; replica < replicas_count; ++replica) end(replica);
    }

    std::string name() const override { return "larder"; }
    std::uint16_t admin_port(int replica) const override { return admin_ports_[static_cast<std::size_t>(replica)]; }
    void start(int replica) override
    {
        launch(replica);
        await_ready(replica);
    }
    void kill(int replica) override
    {
        const auto index = static_cast<std::size_t>(replica);
        process(replica).signal(SIGKILL);
        process(replica).wait_for_exit();
        ports_[index] = 0;
        admin_ports_[index] = 0;
    }

  private:
    void launch(int replica)
    {
        const std::string file = directory_.write("larder-" + std::to_string(replica) + ".yaml", yaml(replica));
        const std::vector<std::string> command{options_.binary, "--config", file};
        processes_[static_cast<std::size_t>(replica)] = std::make_unique<ChildProcess>(command, options_.environment);
    }

    void await_ready(int replica)
    {
        ChildProcess& one = process(replica);
        std::uint16_t port = 0;
        await_condition("larder is ready", [&] {
            port = find_port(one.standard_error(), "listen");
            return port != 0 || one.exit_code();
        });
        if (one.exit_code()) throw std::runtime_error("larder does not start:\n" + one.standard_error());
        admin_ports_[static_cast<std::size_t>(replica)] = find_port(one.standard_error(), "admin");
        ports_[static_cast<std::size_t>(replica)] = port;
    }

    /// An orderly end, so that a sanitizer can speak.
    void end(int replica)
    {
        if (!processes_[static_cast<std::size_t>(replica)]) return;
        ChildProcess& one = process(replica);
        if (!one.exit_code()) {
            one.signal(SIGTERM);
            eventually([&] { return one.exit_code().has_value(); });
        }
        const auto code = one.exit_code();
        if (!code || (*code != 0 && *code != 128 + SIGKILL)) {
            std::fprintf(stderr, "larder %d ended with %d; its log:\n%s\n", replica, code.value_or(-1),
                         one.standard_error().c_str());
            std::_Exit(3);
        }
    }

    std::string yaml(int replica) const
    {
        std::string store = store_yaml_(replica);
        if (!store.empty()) store += "  timeout: " + milliseconds_text(options_.store_timeout) + "\n";
        const std::string purge_options =
            "    fence: " + options_.fence + "\n    on_store_error: " + options_.on_store_error + "\n";
        return "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nnamespace: " + std::string(store_namespace) +
               "\nmemory: " + options_.memory + "\nworkers: " + std::to_string(options_.workers) +
               "\ntrust: " + milliseconds_text(options_.trust) +
               "\nupstream:\n  url: http://127.0.0.1:" + std::to_string(backend_port_) +
               "\n  first_byte_timeout: " + milliseconds_text(options_.first_byte_timeout) + "\n" + store +
               "timeouts:\n  drain: 1s\n" + options_.options + R"(rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 10m
  - name: detail
    match: GET /details/{id}
    key: detail:{id}:{query.lang|en}
    ttl: 10m
  - name: list
    match: GET /items
    key: items:{query.page|1}
    ttl: 10m
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}", "detail:{id}:*", "items:*"]
)" + purge_options;
    }

    LarderOptions options_;
    std::uint16_t backend_port_;
    std::function<std::string(int)> store_yaml_;
    TemporaryDirectory directory_;
    std::array<std::atomic<std::uint16_t>, replicas_count> admin_ports_{};
};

}  // namespace

std::unique_ptr<Proxies> make_larders(const LarderOptions& options, std::uint16_t backend_port,
                                      std::function<std::string(int)> store_yaml)
{
    return std::make_unique<Larders>(options, backend_port, std::move(store_yaml));
}

}  // namespace larder::tests
