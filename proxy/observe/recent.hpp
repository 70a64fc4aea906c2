// The last few of something, for people who look: what the dashboard shows of events and purges. Never on the way of
// a hit.
#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace larder::proxy {

/// Thread-safe; the lock is held for a copy at most.
template <class T>
class Recent {
  public:
    /// @param most  how many are kept, at least 1: one more takes the place of the oldest
    explicit Recent(std::size_t most) : most_(most) {}

    void add(T one)
    {
        const std::lock_guard lock(mutex_);
        if (kept_.size() < most_) {
            kept_.push_back(std::move(one));
        } else {
            kept_[next_] = std::move(one);
            next_ = (next_ + 1) % most_;
        }
    }

    std::vector<T> newest_first() const
    {
        const std::lock_guard lock(mutex_);
        std::vector<T> all;
        all.reserve(kept_.size());
        for (std::size_t i = kept_.size(); i-- > 0;) all.push_back(kept_[(next_ + i) % kept_.size()]);
        return all;
    }

  private:
    const std::size_t most_;
    mutable std::mutex mutex_;
    std::vector<T> kept_;
    std::size_t next_ = 0;  // where the oldest is
};

}  // namespace larder::proxy
