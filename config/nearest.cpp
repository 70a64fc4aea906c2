#include "config/nearest.hpp"

#include <algorithm>

#include "rules/base/text.hpp"

namespace larder::config {
namespace {

// Optimal string alignment distance. "-" and "_" are the same letter: people mix them.
std::size_t distance(std::string_view a, std::string_view b)
{
    const auto letter = [](char c) { return c == '-' ? '_' : rules::lower(c); };
    std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = cost[i - 1][j - 1] + (letter(a[i - 1]) == letter(b[j - 1]) ? 0 : 1);
            cost[i][j] = std::min({replaced, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
            if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) && letter(a[i - 2]) == letter(b[j - 1]))
                cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[a.size()][b.size()];
}

}  // namespace

std::string_view nearest(std::string_view typed, const std::vector<std::string_view>& known)
{
    if (typed.size() > 64) return {};
    std::string_view best;
    std::size_t best_distance = std::max<std::size_t>(1, typed.size() / 3) + 1;
    for (std::string_view name : known) {
        const std::size_t d = distance(typed, name);
        if (d < best_distance) {
            best = name;
            best_distance = d;
        }
    }
    return best;
}

std::string suggestion(std::string_view typed, const std::vector<std::string_view>& known)
{
    if (const auto name = nearest(typed, known); !name.empty()) return "; did you mean \"" + std::string(name) + "\"?";
    std::string text = "; known here: ";
    for (std::size_t i = 0; i < known.size(); ++i) text += (i == 0 ? "" : ", ") + std::string(known[i]);
    return text;
}

}  // namespace larder::config
