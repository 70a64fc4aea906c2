#include "proxy/net/file_watch.hpp"

#include <sys/inotify.h>

#include <cstring>
#include <filesystem>

namespace larder::proxy {

FileWatch::FileWatch(asio::io_context& context, std::string path, std::function<void()> changed)
    : path_(std::move(path)),
      changed_(std::move(changed)),
      notices_(context),
      poll_timer_(context),
      settle_timer_(context),
      last_(look())
{
    open_notices();
    poll();
}

FileWatch::~FileWatch() = default;

bool FileWatch::Look::operator==(const Look& other) const noexcept
{
    return exists == other.exists && device == other.device && inode == other.inode && bytes == other.bytes &&
           modified.tv_sec == other.modified.tv_sec && modified.tv_nsec == other.modified.tv_nsec;
}

FileWatch::Look FileWatch::look() const noexcept
{
    struct stat status {};
    if (::stat(path_.c_str(), &status) != 0) return {};
    return {true, status.st_dev, status.st_ino, status.st_size, status.st_mtim};
}

// The folder, not the file: a rename puts another file into its place, and a watch would stay with the old one.
void FileWatch::open_notices()
{
    std::string folder = std::filesystem::path(path_).parent_path().string();
    if (folder.empty()) folder = ".";
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    constexpr std::uint32_t wanted = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB;
    if (fd >= 0 && ::inotify_add_watch(fd, folder.c_str(), wanted) >= 0) {
        notices_.assign(fd);
        return wait_for_notice();
    }
    why_not_ = std::strerror(errno);
    if (fd >= 0) ::close(fd);
}

void FileWatch::wait_for_notice()
{
    notices_.async_read_some(asio::buffer(buffer_), [this](error_code ec, std::size_t) {
        if (ec == asio::error::operation_aborted) return;
        if (ec) {
            error_code ignored;
            notices_.close(ignored);  // polling goes on
            return;
        }
        settle();
        wait_for_notice();
    });
}

void FileWatch::poll()
{
    poll_timer_.expires_after(poll_time);
    poll_timer_.async_wait([this](error_code ec) {
        if (ec) return;
        if (!(look() == last_)) settle();
        poll();
    });
}

/// Begins anew with each sign, but not for ever: a file that never rests is read all the same.
void FileWatch::settle()
{
    constexpr int most_signs = 20;
    if (++signs_ > most_signs) return;
    settle_timer_.expires_after(settle_time);
    settle_timer_.async_wait([this](error_code ec) {
        if (ec) return;
        signs_ = 0;
        last_ = look();
        changed_();
    });
}

}  // namespace larder::proxy
