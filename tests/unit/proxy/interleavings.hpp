// Every order in which the steps of a small story can happen. The story is run anew for each order, from the start; at
// each step the driver chooses which of the enabled actions goes next. Orders that differ only in actions that touch
// nothing in common are run once (sleep sets: Godefroid, Partial-Order Methods, 1996).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace larder::proxy::test {

/// What an action has touched, as bits. Two actions may change places when neither writes what the other touches.
struct Footprint {
    std::uint32_t reads = 0, writes = 0;
};
inline bool independent(const Footprint& a, const Footprint& b)
{
    return (a.writes & (b.reads | b.writes)) == 0 && (b.writes & a.reads) == 0;
}

/// One run of the story.
class Story {
  public:
    virtual ~Story() = default;
    /// Names of what can happen next, in an order that is always the same; a name means the same action in every run
    /// that has begun alike. Empty: the story is over.
    virtual std::vector<std::string> enabled() = 0;
    virtual Footprint perform(const std::string& action) = 0;
    /// After the last action. What was promised and not kept, in words; empty: all was kept.
    virtual std::string judge() = 0;
};

struct Explored {
    std::size_t orders = 0;
    bool complete = false;           // false: the limit came first, or a violation ended it
    std::string violation;           // the first one found; empty: none
    std::vector<std::string> order;  // that leads to it
};

class Explorer {
  public:
    explicit Explorer(std::function<std::unique_ptr<Story>()> begin) : begin_(std::move(begin)) {}

    /// @param limit  of orders
    Explored run(std::size_t limit)
    {
        Explored explored;
        while (explored.orders < limit) {
            run_once(explored);
            if (!explored.violation.empty()) return explored;
            if (!step_back()) {
                explored.complete = true;
                return explored;
            }
        }
        return explored;
    }

    /// Of a story with too many orders for `run`: so many more, each step chosen by dice that always fall alike. Where
    /// `run` is cut off it has only seen orders that begin alike.
    void sample(Explored& explored, std::size_t count)
    {
        std::minstd_rand dice(1);
        for (std::size_t i = 0; i < count && explored.violation.empty(); ++i, ++explored.orders) {
            const std::unique_ptr<Story> story = begin_();
            std::vector<std::string> order;
            for (auto enabled = story->enabled(); !enabled.empty(); enabled = story->enabled()) {
                order.push_back(enabled[dice() % enabled.size()]);
                story->perform(order.back());
            }
            explored.violation = story->judge();
            if (!explored.violation.empty()) explored.order = std::move(order);
        }
    }

  private:
    struct Seen {
        std::string action;
        Footprint footprint;
    };
    struct Node {
        std::vector<std::string> enabled;
        std::vector<Seen> sleeping;  // need not be tried here: an order that was run already covers them
        std::vector<Seen> tried;
        Seen chosen;
    };

    static bool among(const std::vector<Seen>& seen, const std::string& action)
    {
        return std::any_of(seen.begin(), seen.end(), [&](const Seen& one) { return one.action == action; });
    }
    static bool choose(Node& node)
    {
        for (const std::string& action : node.enabled) {
            if (among(node.sleeping, action) || among(node.tried, action)) continue;
            node.chosen = {action, {}};
            return true;
        }
        return false;
    }

    void run_once(Explored& explored)
    {
        const std::unique_ptr<Story> story = begin_();
        std::vector<Seen> sleeping;
        for (std::size_t depth = 0;; ++depth) {
            if (depth == path_.size()) {
                Node node;
                node.enabled = story->enabled();
                if (node.enabled.empty()) break;
                node.sleeping = std::move(sleeping);
                if (!choose(node)) return;  // all of it was run in another order
                path_.push_back(std::move(node));
            }
            Node& node = path_[depth];
            node.chosen.footprint = story->perform(node.chosen.action);
            sleeping.clear();
            for (const auto* group : {&node.sleeping, &node.tried})
                for (const Seen& one : *group)
                    if (independent(one.footprint, node.chosen.footprint)) sleeping.push_back(one);
        }
        ++explored.orders;
        explored.violation = story->judge();
        if (explored.violation.empty()) return;
        for (const Node& node : path_) explored.order.push_back(node.chosen.action);
    }

    bool step_back()
    {
        while (!path_.empty()) {
            Node& node = path_.back();
            node.tried.push_back(node.chosen);
            if (choose(node)) return true;
            path_.pop_back();
        }
        return false;
    }

    std::function<std::unique_ptr<Story>()> begin_;
    std::vector<Node> path_;
};

}  // namespace larder::proxy::test
