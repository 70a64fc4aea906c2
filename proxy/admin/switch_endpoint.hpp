// GET and POST /switches: what an operator turns at run time, without a restart and without a new file: the cache, of
// everything or of a rule; the log. Each change is a line in the log.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "config/config.hpp"
#include "proxy/admin/answer.hpp"
#include "proxy/admin/request.hpp"

namespace larder::proxy {

/// What was switched, and what has come of it. On the thread of the admin server.
struct SwitchHandlers {
    std::function<config::Switches()> now;
    /// Waits until all workers serve by it. Returns why it could not be done; empty: it is.
    std::function<asio::awaitable<std::string>(config::Switches)> change;
};

/// @param body  JSON: `{"cache":"off"}`, `{"cache":"off","rule":"item"}`, `{"log_level":"debug"}`,
///              `{"log_access":"1/100"}`, `{"verify":"1/1000"}`, and but for the cache null: as the file says. `{}`
///              changes nothing.
/// @return the switches as they shall be, or what is wrong and what to write instead
std::variant<config::Switches, std::string> read_switches(std::string_view body, config::Switches switches,
                                                          const config::Config& config);

/// The switches, and what is in force: `cache` is off also when the file or LARDER_CACHE says so.
std::string switches_json(const config::Switches& switches, const config::Config& config);

/// @param config  asked again after the change: what is in force then
/// @param from    who asks, for the log
asio::awaitable<AdminResponse> answer_switches(const AdminRequest& request, std::string from,
                                               const std::function<config::ConfigPtr()>& config,
                                               const SwitchHandlers& handlers);

}  // namespace larder::proxy
