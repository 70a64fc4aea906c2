// Every worker has links, but the operator reads one line when a server comes, goes or is replaced: the link that
// notices first writes it.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace larder::proxy {

/// Thread-safe. Servers are named as in the log; "" is the store as a whole, while nobody knows its server.
class LinkNews {
  public:
    bool is_news_that_up(const std::string& server)
    {
        const std::lock_guard lock(mutex_);
        is_up_[""] = true;  // somebody knows a server
        const auto [at, added] = is_up_.try_emplace(server, true);
        return !std::exchange(at->second, true) || added;
    }
    bool is_news_that_down(const std::string& server)
    {
        const std::lock_guard lock(mutex_);
        const auto [at, added] = is_up_.try_emplace(server, false);
        return std::exchange(at->second, false) || added;
    }
    /// Of two servers that take turns each turn is news.
    bool is_news_that_moved(const std::string& from, const std::string& to)
    {
        const std::lock_guard lock(mutex_);
        moves_.erase({to, from});
        return moves_.emplace(from, to).second;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, bool> is_up_;
    std::set<std::pair<std::string, std::string>> moves_;
};

/// Of the process.
inline LinkNews& link_news()
{
    static LinkNews news;
    return news;
}

}  // namespace larder::proxy
