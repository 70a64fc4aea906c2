// Several coroutines at once, and one that waits for all of them: nothing outlives the frame that awaits.
#pragma once

#include <string_view>
#include <vector>

#include "proxy/net/tasks.hpp"

namespace larder::proxy {

/// Runs the parts at once and ends when all have ended. They may borrow from the awaiting frame. A single part runs
/// inline, without being spawned.
/// @param what  names a part in the log should an exception end it; a literal
asio::awaitable<void> run_all(Tasks& tasks, std::string_view what, std::vector<asio::awaitable<void>> parts);

}  // namespace larder::proxy
