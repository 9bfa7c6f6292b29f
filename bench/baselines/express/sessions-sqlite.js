/** A store for express-session in the table `sessions`. */

import session from "express-session"

const DAY = 24 * 60 * 60 * 1000

/** Sessions of a day. Without `touch` a session is read and not written at each request. */
export class SqliteSessions extends session.Store {
  constructor(db) {
    super()
    this.read = db.prepare("SELECT data FROM sessions WHERE sid = ? AND expires > ?").pluck()
    this.write = db.prepare("INSERT OR REPLACE INTO sessions (sid, data, expires) VALUES (?, ?, ?)")
    this.remove = db.prepare("DELETE FROM sessions WHERE sid = ?")
    const prune = db.prepare("DELETE FROM sessions WHERE expires <= ?")
    setInterval(() => prune.run(Date.now()), 15 * 60 * 1000).unref()
  }

  get(sid, done) {
    this.answer(done, () => {
      const data = this.read.get(sid, Date.now())
      return data && JSON.parse(data)
    })
  }

  set(sid, data, done) {
    this.answer(done, () => void this.write.run(sid, JSON.stringify(data), Date.now() + DAY))
  }

  destroy(sid, done) {
    this.answer(done, () => void this.remove.run(sid))
  }

  /** The driver is synchronous and throws; express-session wants a callback. */
  answer(done, deed) {
    let result
    try {
      result = deed()
    } catch (error) {
      return done?.(error)
    }
    done?.(null, result)
  }
}
