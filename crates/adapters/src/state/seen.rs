//! The table of what came over channels: each request counts once, also after a restart and at all gateways that share the state.

use super::{State, StateError};

/// Makes it.
pub(super) const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS channel_seen (
        channel TEXT NOT NULL, request TEXT NOT NULL, seen BIGINT NOT NULL, PRIMARY KEY (channel, request))"];

impl State {
    /// Notes that a request came, by what tells it from others. True for the first one of them, of all who try. Those that came
    /// before `forget` are forgotten: their time does not count any more.
    ///
    /// # Errors
    /// When the state cannot be reached: then it does not count.
    pub async fn first_seen(
        &self,
        channel: &str,
        request: &str,
        now: u64,
        forget: u64,
    ) -> Result<bool, StateError> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut on = self.pool().await?.begin().await?;
        let old = "DELETE FROM channel_seen WHERE seen < $1";
        sqlx::query(old).bind(number(forget)).execute(&mut *on).await?;
        let insert =
            "INSERT INTO channel_seen (channel, request, seen) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(insert).bind(channel).bind(request).bind(number(now));
        let first = query.execute(&mut *on).await?.rows_affected() == 1;
        on.commit().await?;
        Ok(first)
    }

    /// It could not be looked at now: when it comes again, it is the first.
    ///
    /// # Errors
    /// When the state cannot be reached.
    pub async fn not_seen(&self, channel: &str, request: &str) -> Result<(), StateError> {
        let delete = "DELETE FROM channel_seen WHERE channel = $1 AND request = $2";
        sqlx::query(delete).bind(channel).bind(request).execute(self.pool().await?).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_the_first_once_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::in_folder(dir.path());
        assert!(state.first_seen("a", "msg_1", 10, 0).await.unwrap());
        assert!(!state.first_seen("a", "msg_1", 11, 0).await.unwrap());
        assert!(state.first_seen("b", "msg_1", 11, 0).await.unwrap(), "another channel's");
        drop(state);
        let state = State::in_folder(dir.path());
        assert!(!state.first_seen("a", "msg_1", 12, 0).await.unwrap());
        state.not_seen("a", "msg_1").await.unwrap();
        assert!(state.first_seen("a", "msg_1", 13, 0).await.unwrap());
        assert!(state.first_seen("a", "msg_1", 99, 50).await.unwrap(), "its time does not count any more");
        let both = tokio::join!(state.first_seen("a", "msg_2", 99, 0), state.first_seen("a", "msg_2", 99, 0));
        assert_ne!(both.0.unwrap(), both.1.unwrap());
    }
}
