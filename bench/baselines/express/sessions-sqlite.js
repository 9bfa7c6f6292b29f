/** A store for express-session in the table `sessions`. */

import session from "express-session"

const DAY = 24 * 60 * 60 * 1000

/** Sessions expire after a day. Without `touch`, a request reads its session and does not write it. */
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
    this.call(done, () => {
      const data = this.read.get(sid, Date.now())
      return data && JSON.parse(data)
    })
  }

  set(sid, data, done) {
    this.call(done, () => void this.write.run(sid, JSON.stringify(data), Date.now() + DAY))
  }

  destroy(sid, done) {
    this.call(done, () => void this.remove.run(sid))
  }

  /** Pass the result or error of a synchronous operation to a callback, as express-session expects. */
  call(done, operation) {
    let result
    try {
      result = operation()
    } catch (error) {
      return done?.(error)
    }
    done?.(null, result)
  }
}
