// Memory for the small objects that come with each request and go with it.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <boost/pool/pool.hpp>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "proxy/net/asio.hpp"
#include "proxy/net/memory_reuse.hpp"

namespace larder::proxy {

/// A service of an io_context, of its thread alone: makes objects in memory that is used again, and kept until the
/// io_context ends. So whatever waits in there, and ends with it, has somewhere to go back to.
class Blocks final : public asio::execution_context::service {
  public:
    using key_type = Blocks;
    static asio::execution_context::id id;
    explicit Blocks(asio::execution_context& context) : service(context), pool_(most_bytes) {}
    static Blocks& of(asio::io_context& context) { return asio::use_service<Blocks>(context); }

    static constexpr std::size_t most_bytes = 128;  // of an object

    template <class T>
    struct Back {
        Blocks* blocks;
        void operator()(T* object) const noexcept
        {
            object->~T();
            blocks->put_back(object);
        }
    };
    template <class T>
    using Ptr = std::unique_ptr<T, Back<T>>;

    template <class T, class... Args>
    Ptr<T> make(Args&&... args)
    {
        static_assert(sizeof(T) <= most_bytes && alignof(T) <= alignof(void*));
        void* const place = take();
        try {
            return Ptr<T>(new (place) T(std::forward<Args>(args)...), {this});
        } catch (...) {
            put_back(place);
            throw;
        }
    }
    /// Of one that was released: it belongs to itself.
    template <class T>
    Ptr<T> own(T* object) noexcept
    {
        return Ptr<T>(object, {this});
    }

  private:
    void shutdown() noexcept override {}
    void* take()
    {
        if constexpr (!memory_is_used_again) return ::operator new(most_bytes);
        if (void* const place = pool_.malloc()) return place;
        throw std::bad_alloc();
    }
    void put_back(void* place) noexcept
    {
        if constexpr (memory_is_used_again)
            pool_.free(place);
        else
            ::operator delete(place);
    }

    boost::pool<> pool_;
};

}  // namespace larder::proxy
