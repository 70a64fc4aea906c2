#include "tests/support/fleet.hpp"

namespace larder::tests {

Fleet::Fleet(const std::string& rules, std::size_t replicas_count, const std::string& options)
{
    const std::string yaml = "upstream: http://127.0.0.1:" + std::to_string(origin.port()) +
                             "\nnamespace: story\nworkers: 2\nstore:\n  url: " + redis.url() + "\n  timeout: 5s\n" +
                             options + rules;  // a busy machine is not Redis away
    for (std::size_t i = 0; i < replicas_count; ++i) replicas.push_back(std::make_unique<LarderProcess>(yaml));
}

Response Fleet::request(std::size_t replica, const std::string& method, const std::string& target,
                        const std::vector<std::string>& fields, const std::string& body)
{
    HttpClient client(replicas.at(replica)->port());
    return client.request(method, target, fields, body);
}

std::future<Response> Fleet::start_get(std::size_t replica, const std::string& target,
                                       const std::vector<std::string>& fields)
{
    return std::async(std::launch::async, [=, this] { return get(replica, target, fields); });
}

double Fleet::metric(const std::string& name, const std::string& labels)
{
    double sum = 0;
    for (auto& replica : replicas)
        if (!replica->process().exit_code()) sum += replica->metric(name, labels);
    return sum;
}

std::string Fleet::lease(const std::string& key) const
{
    const std::string value = redis.command({"GET", "story:{0}:l:" + key});
    return value == "(nil)" ? "" : value;
}

Crowd::Crowd(Fleet& fleet, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i)
        clients_.push_back(std::make_unique<HttpClient>(fleet.replicas.at(i % fleet.replicas.size())->port()));
}

void Crowd::ask(const std::string& target)
{
    for (auto& client : clients_) client->send("GET", target);
}

std::vector<Response> Crowd::read()
{
    std::vector<Response> responses;
    for (auto& client : clients_) responses.push_back(client->read());
    return responses;
}

}  // namespace larder::tests
