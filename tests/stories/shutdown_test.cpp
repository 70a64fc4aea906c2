// Probes, and the way out: drain, SIGTERM, a second one.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

/// Threads of a process that are held, all but its first, as if they were stuck.
class HeldThreads {
  public:
    explicit HeldThreads(pid_t process)
    {
        for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
            const pid_t thread = std::stoi(task.path().filename().string());
            if (thread == process) continue;
            REQUIRE(::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) == 0);
            REQUIRE(::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) == 0);
            REQUIRE(::waitpid(thread, nullptr, __WALL) == thread);
            threads_.push_back(thread);
        }
    }
    ~HeldThreads()
    {
        for (const pid_t thread : threads_) ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
    }
    HeldThreads(const HeldThreads&) = delete;
    HeldThreads& operator=(const HeldThreads&) = delete;
    std::size_t count() const { return threads_.size(); }

  private:
    std::vector<pid_t> threads_;
};

/// Stands where systemd does: takes what sd_notify(3) sends.
class NotifySocket {
  public:
    NotifySocket() : path_(directory_.path() + "/notify"), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0))
    {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        REQUIRE(path_.size() < sizeof at.sun_path);
        path_.copy(at.sun_path, path_.size());
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    }
    ~NotifySocket() { ::close(fd_); }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;

    std::string variable() const { return "NOTIFY_SOCKET=" + path_; }
    /// Waits for a message that begins so; others on the way are let go.
    std::string await(const std::string& begin)
    {
        std::string message;
        await_condition("sd_notify says " + begin, [&] {
            char bytes[256];
            const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
            message.assign(bytes, n > 0 ? static_cast<std::size_t>(n) : 0);
            return message.starts_with(begin);
        });
        return message;
    }

  private:
    TemporaryDirectory directory_;
    std::string path_;
    int fd_;
};

}  // namespace

TEST_CASE("a service manager is told when it is ready, alive, reloading and stopping")
{
    NotifySocket manager;
    StageOptions options = over<Embedded>(item_rules);
    options.environment = {manager.variable()};
    Stage stage(options);
    manager.await("READY=1");
    manager.await("WATCHDOG=1");
    stage.larder->process().signal(SIGHUP);
    CHECK(contains(manager.await("RELOADING=1"), "\nMONOTONIC_USEC="));
    manager.await("READY=1");
    stage.larder->process().signal(SIGTERM);
    manager.await("STOPPING=1");
    CHECK(stage.larder->process().wait_for_exit() == 0);
}

TEST_CASE("probes have a line for each worker, the store and the shutdown, and Redis away fails none")
{
    Stage stage(over<OverRedis>(item_rules));
    CHECK(stage.larder->admin("GET", "/livez?verbose").body ==
          "[+]admin ok\n[+]worker-0 ok\n[+]worker-1 ok\nlivez check passed\n");
    CHECK(stage.larder->admin("GET", "/readyz?verbose").body ==
          "[+]configuration ok\n[+]listener ok\n[+]redis ok\n[+]shutdown ok\nreadyz check passed\n");
    stage.redis->kill();
    await_condition("the probe tells of it", [&] {
        const Response probe = stage.larder->admin("GET", "/readyz?verbose");
        CHECK(probe.status == 200);
        return contains(probe.body, "[!]redis is away: requests pass by\n");
    });
    CHECK(stage.larder->admin("GET", "/readyz").body == "ok");
    CHECK(stage.larder->admin("GET", "/livez").body == "ok");
    Stage alone(over<Embedded>(item_rules));
    CHECK(contains(alone.larder->admin("GET", "/readyz?verbose").body, "[+]embedded-store ok\n"));
}

TEST_CASE("livez fails when an event loop no longer turns, and passes again when it does")
{
    Stage stage(over<Embedded>(item_rules));
    CHECK(stage.larder->admin("GET", "/livez").status == 200);
    {
        const HeldThreads held(stage.larder->process().pid());
        CHECK(held.count() >= 2);
        std::string body;
        await_condition("it fails", [&] {  // each worker has its own time
            const Response probe = stage.larder->admin("GET", "/livez");
            body = probe.body;
            return probe.status == 503 && contains(body, "[-]worker-0 failed: its event loop has not turned for ");
        });
        CHECK(contains(body, "livez check failed\n"));
    }
    await_condition("it passes", [&] { return stage.larder->admin("GET", "/livez").status == 200; });
}

TEST_CASE("after POST /drain readyz fails, and each answer ends its connection: hits, misses and what passes by")
{
    Stage stage(over<Embedded>(item_rules));
    stage.fill("/items/1");
    auto kept = stage.connect();
    CHECK(kept->get("/items/1").field("Connection") == "");
    CHECK(stage.larder->admin("POST", "/drain").body == "draining\n");
    const Response probe = stage.larder->admin("GET", "/readyz");
    CHECK(probe.status == 503);
    CHECK(contains(probe.body, "[-]shutdown failed: draining was asked for\n"));
    CHECK(stage.larder->admin("GET", "/livez").status == 200);
    CHECK(contains(stage.larder->admin("GET", "/health/cache").body, R"("status":"draining")"));
    CHECK(stage.larder->metric("larder_ready") == 0);
    await_condition("answers say so", [&] { return stage.get("/items/1").field("Connection") == "close"; });
    const Response last = kept->get("/items/1");
    CHECK(is_hit(last));
    CHECK(last.field("Connection") == "close");
    CHECK(kept->wire().is_closed_by_peer());
    for (const char* target : {"/items/2", "/other"}) {
        const Response answer = stage.get(target);
        CHECK(answer.status == 200);
        CHECK(answer.field("Connection") == "close");
    }
    CHECK(stage.request("PUT", "/items/1", {}, "x").field("Connection") == "close");
    CHECK(contains(stage.larder->log(), "draining"));
    CHECK(stage.larder->stop() == 0);
}

TEST_CASE("larder drain asks for it from the command line, and waits as long as it is told")
{
    Stage stage(over<Embedded>(item_rules));
    const std::string admin = "127.0.0.1:" + std::to_string(stage.larder->admin_port());
    const milliseconds before = monotonic_time();
    const Finished drained = run_larder({"drain", "--admin", admin, "--wait", "300ms"});
    CHECK(drained.exit_code == 0);
    CHECK(monotonic_time() - before >= 300ms);
    CHECK(stage.larder->admin("GET", "/readyz").status == 503);
    CHECK(run_larder({"drain"}).exit_code == 2);
    CHECK(contains(run_larder({"drain", "--admin", admin, "--wait", "5"}).standard_error, "--wait: "));
    CHECK(stage.larder->stop() == 0);
    const Finished gone = run_larder({"drain", "--admin", admin});
    CHECK(gone.exit_code == 1);
    CHECK(contains(gone.standard_error, admin));
}

TEST_CASE("a rolling restart loses no request: drain, move over, stop")
{
    Stage first(over<OverRedis>(item_rules));
    const LarderProcess second("upstream: http://127.0.0.1:" + std::to_string(first.origin.port()) +
                               "\nstore: " + first.redis->url() + "\n" + item_rules);
    std::atomic<int> lost{0}, answered_by_second{0}, asked{0};
    std::atomic<bool> ended{false};
    std::vector<std::jthread> clients;
    const auto end = [&] {
        ended = true;
        clients.clear();
    };
    const std::shared_ptr<void> at_the_end(nullptr, [&](void*) { end(); });  // also when a wait was in vain
    for (int i = 0; i < 8; ++i) {
        clients.emplace_back([&, i] {
            std::uint16_t port = first.larder->port();
            auto connection = std::make_unique<HttpClient>(port);
            for (int n = 0; !ended; ++n) {
                // In turn what hits, what misses and what passes by.
                const std::string target = n % 3 == 0   ? "/items/1"
                                           : n % 3 == 1 ? "/items/" + std::to_string(i) + "-" + std::to_string(n)
                                                        : "/other";
                try {
                    const Response answer = connection->get(target);
                    ++asked;
                    if (answer.status != 200) ++lost;
                    if (port == second.port()) ++answered_by_second;
                    if (answer.field("Connection") != "close") continue;
                    port = second.port();  // where a load balancer sends it now
                    connection = std::make_unique<HttpClient>(port);
                } catch (const std::exception&) {
                    ++lost;
                    connection = std::make_unique<HttpClient>(port = second.port());
                }
            }
        });
    }
    await_condition("there is load", [&] { return asked > 200; });
    CHECK(first.larder->admin("POST", "/drain").status == 200);
    await_condition("all have moved over",
                    [&] { return answered_by_second > 100 && first.larder->metric("larder_client_connections") == 0; });
    CHECK(first.larder->stop() == 0);
    end();
    CHECK(lost == 0);
}

TEST_CASE("a request that has come before SIGTERM was seen is answered")
{
    // After a miss a connection waits otherwise than after a hit.
    for (const auto& [target, reads_before] :
         {std::pair("/items/1", 1), std::pair("/items/1", 2), std::pair("/other", 2)}) {
        CAPTURE(target);
        CAPTURE(reads_before);
        Stage stage(over<Embedded>(item_rules));
        auto idle = stage.connect();
        for (int i = 0; i < reads_before; ++i) CHECK(idle->get("/items/1").status == 200);
        ChildProcess& process = stage.larder->process();
        process.signal(SIGSTOP);
        idle->send("GET", target);
        process.signal(SIGTERM);
        process.signal(SIGCONT);
        CHECK(idle->read().status == 200);
        CHECK(process.wait_for_exit() == 0);
    }
}

TEST_CASE("a second signal ends it at once, whatever is under way")
{
    Stage stage(over<Embedded>(item_rules));
    stage.origin.on("/never").silent();
    auto client = stage.connect();
    client->send("GET", "/never");
    stage.origin.await_requests("/never", 1);
    stage.larder->process().signal(SIGTERM);
    await_condition("it stops", [&] { return contains(stage.larder->log(), "stopping"); });
    CHECK_FALSE(stage.larder->process().exit_code());
    CHECK(stage.larder->admin("GET", "/readyz").status == 503);
    stage.larder->process().signal(SIGTERM);
    CHECK(stage.larder->process().wait_for_exit() == 143);
    CHECK(contains(stage.larder->log(), "stopped by a second signal"));
}

TEST_CASE_TEMPLATE("SIGTERM lets what runs come to its end and exits with 0", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(item_rules));
    auto idle = stage.connect();
    CHECK(idle->get("/a").status == 200);
    stage.origin.on("/slow").hold();
    stage.origin.on("/items/1").hold();
    auto passing = stage.start_get("/slow");
    auto filling = stage.start_get("/items/1");
    stage.origin.await_requests("/slow", 1);
    stage.origin.await_requests("/items/1", 1);
    stage.larder->process().signal(SIGTERM);
    CHECK(idle->wire().is_closed_by_peer());
    await_condition("no new connections are taken", [&] {
        try {
            stage.connect();
            return false;
        } catch (const Ended&) {
            return true;
        }
    });
    CHECK_FALSE(stage.larder->process().exit_code());
    stage.origin.release("/slow");
    stage.origin.release("/items/1");
    CHECK(passing.get().body == "GET /slow #1");
    CHECK(filling.get().body == "GET /items/1 #1");
    CHECK(stage.larder->process().wait_for_exit() == 0);
    CHECK(contains(stage.larder->log(), "stop"));
}

TEST_CASE("a download that runs when SIGTERM comes is finished")
{
    Stage stage({});
    stage.origin.on("/big").reply(200, "", "").generated(64 << 20);
    auto client = stage.connect();
    client->send("GET", "/big");
    Response response = read_response_head(client->wire());
    stage.larder->process().signal(SIGTERM);
    read_body(client->wire(), response, 0);
    CHECK(response.ended_properly);
    CHECK(response.body_bytes == 64 << 20);
    CHECK(stage.larder->process().wait_for_exit() == 0);
}

TEST_CASE("what does not end within the drain time is cut, and the exit is still orderly")
{
    StageOptions options;
    options.options = "timeouts:\n  drain: 200ms\n";
    Stage stage(options);
    stage.origin.on("/never").silent();
    auto client = stage.connect();
    client->send("GET", "/never");
    stage.origin.await_requests("/never", 1);
    CHECK(stage.larder->stop() == 0);
}

TEST_CASE_TEMPLATE("fills that do not end within the drain time are cut as well, wherever they wait", Backend, Embedded,
                   OverRedis)
{
    StageOptions options = over<Backend>(item_rules);
    options.options += "timeouts:\n  drain: 200ms\n";
    Stage stage(options);
    stage.origin.on("/items/1").silent();
    stage.origin.on("/items/2").silent();
    auto plain = stage.connect();
    plain->send("GET", "/items/1");
    auto of_a_part = stage.connect();
    of_a_part->send("GET", "/items/2", {"Range: bytes=0-1"});
    stage.origin.await_requests("/items/1", 1);
    stage.origin.await_requests("/items/2", 1);
    CHECK(stage.larder->stop() == 0);
    CHECK(plain->wire().is_closed_by_peer());
    CHECK(of_a_part->wire().is_closed_by_peer());
}

TEST_CASE("SIGTERM with nothing under way ends it at once")
{
    Stage stage({});
    const milliseconds before = monotonic_time();
    CHECK(stage.larder->stop() == 0);
    CHECK(monotonic_time() - before < 3s);
}

}  // namespace larder::tests
